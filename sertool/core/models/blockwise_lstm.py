"""A bidirectional LSTM over a sequence too long to hold: its outputs chunk by chunk, those of one pass over it all.

A trained LSTM may remember for minutes, so context beside a chunk is not enough. What it knows where two chunks meet is
all it takes from beyond: the forward direction's state is carried from the first chunk to the last, the backward
direction's from the last to the first, layer by layer; then each chunk can be computed by itself.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

_THREADS = threading.Lock()

State = tuple[Tensor, Tensor]
"""What one direction of one layer remembers: hidden and cell state, each (1, 1, H)."""


class Chunks(Protocol):
    """A sequence in pieces, each of which may be asked for several times."""

    def __len__(self) -> int:
        """Return how many chunks there are."""

    def __getitem__(self, index: int) -> Tensor:
        """Return a chunk, (T, D)."""


class BlockwiseLSTM:
    """Run a bidirectional LSTM over chunks, each of which is asked for twice a layer.

    Args:
        lstm: bidirectional, batch first, any number of layers.
        chunks: of one sequence.
    """

    def __init__(self, lstm: nn.LSTM, chunks: Chunks) -> None:
        self._chunks = chunks
        self._layers = [
            (_one_direction(lstm, layer, ""), _one_direction(lstm, layer, "_reverse"))
            for layer in range(lstm.num_layers)
        ]
        self._entered: list[tuple[list[State | None], list[State | None]]] = []
        last = lstm.num_layers - 1
        for layer in range(lstm.num_layers):
            # The last layer's forward states are carried while the outputs are made.
            forward = self._sweep(layer, backward=False) if layer < last else []
            self._entered.append((forward, self._sweep(layer, backward=True)))

    def outputs(self) -> Iterator[Tensor]:
        """Yield each chunk's output (T, 2H), forward then backward."""
        forward, backward = self._layers[-1]
        state = None
        for index in range(len(self._chunks)):
            with _one_thread():
                x = self._input(len(self._layers) - 1, index)
                ahead, state = forward(x, state)
                back, _ = backward(x.flip(1), self._entered[-1][1][index])
            yield torch.cat([ahead, back.flip(1)], dim=-1)[0]

    def _sweep(self, layer: int, *, backward: bool) -> list[State | None]:
        """Return with which state one direction of a layer enters each chunk."""
        count, state = len(self._chunks), None
        entered: list[State | None] = [None] * count
        for index in reversed(range(count)) if backward else range(count):
            entered[index] = state
            with _one_thread():
                x = self._input(layer, index)
                _, state = self._layers[layer][backward](x.flip(1) if backward else x, state)
        return entered

    def _input(self, layer: int, index: int) -> Tensor:
        """Return what a layer is given of a chunk, (1, T, D), from layers whose states are known."""
        x = self._chunks[index][None]
        for (forward, backward), (ahead, back) in zip(self._layers[:layer], self._entered, strict=False):
            x = torch.cat([forward(x, ahead[index])[0], backward(x.flip(1), back[index])[0].flip(1)], dim=-1)
        return x


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread: a step is too small to share, and sharing it on busy cores costs many times more."""
    with _THREADS:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _one_direction(lstm: nn.LSTM, layer: int, suffix: str) -> nn.LSTM:
    """Return one direction of one layer as an LSTM of its own."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = {f"{name}_l0": getattr(lstm, f"{name}_l{layer}{suffix}").detach() for name in names}
    # Built without memory, and so without drawing weights from the global generator.
    alone = nn.LSTM(weights["weight_ih_l0"].shape[1], lstm.hidden_size, batch_first=True, device="meta")
    alone.load_state_dict(weights, assign=True)
    alone.flatten_parameters()
    return alone.eval()
