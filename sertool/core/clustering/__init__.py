"""Deep clusters: k-means, DeepEmoCluster, its temporal forms, analyses."""
