"""Tasks that need no labels: denoising."""
