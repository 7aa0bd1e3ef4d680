"""Judging a model on a corpus, by signal-to-noise ratio."""
