"""Which frames an encoder must do without: random spans, about half of them all (HuBERT, Hsu et al., TASLP 2021)."""

import numpy as np


def draw_mask(num_frames: int, generator: np.random.Generator, *, share: float = 0.08, span: int = 10) -> np.ndarray:
    """Draw the frames to hide: a share of all begin a span of hidden ones, and spans may overlap (section II-B).

    Far from the ends, 1 - (1 - share)^span of the frames are hidden. Ours: of an utterance shorter than two spans they
    are half as long as it is, and at least one frame is hidden and, of two or more, at least one is not.

    Args:
        num_frames: of the utterance, T, at least 1.
        generator: draws where.
        share: of the frames begin a span, above 0 to 1; what is left of a whole number is drawn for.
        span: frames in a span, at least 1.

    Returns:
        bool, shape (T,).

    Raises:
        ValueError: a number is out of its range.
    """
    if num_frames < 1 or span < 1 or not 0.0 < share <= 1.0:
        raise ValueError(f"{num_frames} frames, share {share:g}, span {span}: expected 1 or more, 0 to 1, 1 or more")
    if num_frames < 2 * span:
        span = max(1, num_frames // 2)
    places = num_frames - span + 1
    spans = int(np.clip(int(share * num_frames + generator.random()), 1, places))
    starts = generator.choice(places, spans, replace=False)
    hidden = np.zeros(num_frames, dtype=bool)
    hidden[starts[:, None] + np.arange(span)] = True
    if num_frames > 1 and hidden.all():  # nothing would be left to tell the others from
        hidden[generator.integers(num_frames)] = False
    return hidden
