"""Encoders, heads, the shared model, and inference with it."""
