"""Tasks that need no labels: denoising, energy, faces, masked prediction."""
