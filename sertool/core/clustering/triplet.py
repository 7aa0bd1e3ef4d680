"""The triplet form of temporal modelling: chunks near one another in a sentence are to be alike (Lin & Busso, 2024)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def triplet_loss(
    shared: Tensor,
    starts: Tensor,
    *,
    chunk_frames: int,
    draws: int = 10,
    margin: float = 1.0,
    near: int = 2,
    generator: torch.Generator,
) -> Tensor:
    """Return the mean over triplets of max(0, |a - p| - |a - n| + margin), drawn from each sentence's own chunks.

    As published: the positive lies within `near` chunks of the anchor, the negative farther off. Ours: the negative
    begins at least a chunk's length from the anchor, so that they share no frame, since the chunks of a short sentence
    overlap almost wholly; the anchor is one of those that have such a negative; a sentence with none contributes
    nothing; and each sentence has draws of its own, where the publication's batch shares them.

    Args:
        shared: features of sentences' chunks in order, (S, C, D).
        starts: where each chunk begins in its sentence, in frames, (S, C).
        chunk_frames: frames in a chunk.
        draws: triplets of a sentence.
        margin: by how much farther the negative is to be (L2).
        near: chunks, on either side of the anchor, that are positives; 1 or more.
        generator: on the CPU, so that every device draws the same.

    Returns:
        A scalar; 0 where there is no triplet at all, with a gradient of zeros, so that every process can go backward.
    """
    rows, anchors, positives, negatives = draw_triplets(
        starts, chunk_frames=chunk_frames, draws=draws, near=near, generator=generator
    ).to(shared.device)
    if not len(rows):
        return (shared * 0.0).sum()
    chunks = (shared[rows, places].float() for places in (anchors, positives, negatives))
    return F.triplet_margin_loss(*chunks, margin=margin, p=2)


def draw_triplets(starts: Tensor, *, chunk_frames: int, draws: int, near: int, generator: torch.Generator) -> Tensor:
    """Return the sentence, anchor, positive and negative of each triplet, int64, (4, at most S · draws).

    Args:
        starts: as in `triplet_loss`, and so are the others.
        chunk_frames: frames in a chunk.
        draws: triplets of a sentence.
        near: chunks that are positives.
        generator: on the CPU.
    """
    starts = starts.cpu()
    places = torch.arange(starts.shape[1])
    apart = (places[:, None] - places).abs()  # (C, C), in chunks
    positive = ((apart > 0) & (apart <= near)).expand(len(starts), -1, -1)
    negative = ((starts[:, :, None] - starts[:, None]).abs() >= chunk_frames) & (apart > near)  # (S, C, C)
    anchor = negative.any(-1)  # (S, C); who has one has a neighbour too
    rows = anchor.any(-1).nonzero()[:, 0].repeat_interleave(draws)
    anchors = _draw(anchor[rows], generator)
    return torch.stack(
        [rows, anchors, _draw(positive[rows, anchors], generator), _draw(negative[rows, anchors], generator)]
    )


def _draw(allowed: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one of the allowed places of each row, all equally likely: bool (N, C) to int64 (N,)."""
    order = torch.rand(allowed.shape, generator=generator)
    return order.masked_fill(~allowed, -1.0).argmax(-1)
