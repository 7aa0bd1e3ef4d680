"""Denoising as pre-training: the encoder learns to tell speech from noise before it hears a label.

A frozen encoder with random weights means nothing, so cascade unfreezing needs an encoder that has learned something.
Ours learns on noisy mixtures of clean speech, through the enhancement head it will later share with emotion.
"""

from typing import Any

DENOISE: dict[str, Any] = {
    "tasks": ["enhancement"],
    "data": {"max_s": 3.0},
    "noise": {"clean_share": 0.05},
    "enhancement": {"crop_s": None},
}
"""What the recipe of a denoising run sets where neither file nor flag does."""
