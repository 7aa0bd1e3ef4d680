"""Recipe, run folder, loop, losses and the unfreezing schedule."""
