"""Tables of utterances: manifests, splits, categories, one reader a corpus, noise mixing, batches."""
