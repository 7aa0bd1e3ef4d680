"""A residual recurrence over time, in both directions or forwards alone, that never hears padding."""

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
"""Of an LSTM: hidden and cell state, each (1, N, H)."""


class TimeRecurrence(nn.Module):
    """LSTMs along the first axis: one forwards, and where it is not causal one backwards from each utterance's end.

    Utterances are turned round within their own lengths, and both LSTMs run forwards: padding lies behind either.
    Packed sequences would do as well, and are several times slower.
    """

    def __init__(self, channels: int, hidden: int, *, causal: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.forwards = nn.LSTM(channels, hidden)
        self.backwards = None if causal else nn.LSTM(channels, hidden)
        self.join = nn.Linear(hidden if causal else 2 * hidden, channels)

    def forward(self, x: Tensor, frame_lengths: Tensor | None, state: State | None = None) -> tuple[Tensor, State]:
        """Map (T, B, K, C) to the same shape.

        Args:
            x: every band of every utterance is a sequence of its own.
            frame_lengths: of the utterances, (B,); None where nothing is padded or the recurrence is causal.
            state: of the forward LSTM, from before the first frame; None for zeros.

        Returns:
            The output, arbitrary in the padding, and the forward LSTM's state after the last frame.
        """
        y = self.norm(x)
        states, after = self.forwards(y.flatten(1, 2), state)
        if self.backwards is not None:
            backward = self.backwards(turned(y, frame_lengths).flatten(1, 2))[0].view(*y.shape[:3], -1)
            states = torch.cat([states, turned(backward, frame_lengths).flatten(1, 2)], dim=-1)
        return x + self.join(states).view_as(x), after


def turned(x: Tensor, frame_lengths: Tensor | None) -> Tensor:
    """Return utterances (T, B, …) last frame first, each within its own length (B,); the padding stays where it is."""
    if frame_lengths is None or int(frame_lengths.min()) == x.shape[0]:
        return x.flip(0)
    place = torch.arange(x.shape[0], device=x.device)[:, None]
    index = torch.where(place < frame_lengths, frame_lengths - 1 - place, place)  # (T, B)
    return x.gather(0, index.view(*index.shape, *[1] * (x.ndim - 2)).expand_as(x))
