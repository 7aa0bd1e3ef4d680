"""What becomes of speech above 8 kHz, which the models do not hear."""

from enum import StrEnum


class UpperBand(StrEnum):
    """What an enhanced recording of more than 16 kHz holds above 8 kHz. Neither choice adds anything to it."""

    DROP = "drop"
    """Nothing."""

    FOLLOW = "follow"
    """What the original holds there, times the gain the mask gives the octave below (4 to 8 kHz), frame by frame: never
    more than 1, so never louder than it was."""
