"""Chunk encoders against torch's own layers on each chunk's frames alone: padding counts for nothing."""

import pytest
import torch

from sertool.core.audio.spectra import frame_mask
from sertool.core.models.chunk_encoders import CNNEncoder, LSTMEncoder, MeanEncoder, build_chunk_encoder
from sertool.core.models.config import ChunkConfig

DIM, SIZE = 6, 20
LENGTHS = [20, 1, 13, 2, 19]


def chunks(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Chunks (5, 20, 6), zero beyond their own frames, and how many those are."""
    frames = torch.randn(len(LENGTHS), SIZE, DIM, generator=torch.Generator().manual_seed(seed))
    lengths = torch.tensor(LENGTHS)
    return frames * frame_mask(lengths, SIZE)[:, :, None], lengths


def make(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_chunk_encoder(DIM, ChunkConfig(encoder=kind, hidden=9), dropout=0.5).eval()


@pytest.mark.parametrize(("kind", "expected"), [("mean", MeanEncoder), ("lstm", LSTMEncoder), ("cnn", CNNEncoder)])
def test_a_chunks_vector_is_that_of_its_own_frames_alone(kind, expected):
    encoder, (frames, lengths) = make(kind), chunks()
    assert isinstance(encoder, expected)
    vectors = encoder(frames, lengths)
    assert vectors.shape == (len(LENGTHS), encoder.out_dim) and encoder.out_dim == (DIM if kind == "mean" else 9)
    for row, length in enumerate(LENGTHS):
        alone = encoder(frames[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(vectors[row], alone[0], atol=1e-6, rtol=1e-6)


def test_the_mean_is_numpys():
    frames, lengths = chunks()
    vectors = make("mean")(frames, lengths).numpy()
    for row, length in enumerate(LENGTHS):
        assert vectors[row] == pytest.approx(frames[row, :length].numpy().mean(0), abs=1e-6)


def test_the_lstm_gives_the_output_at_the_last_own_frame_of_its_second_layer():
    encoder, (frames, lengths) = make("lstm"), chunks()
    packed = torch.nn.utils.rnn.pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
    _, (states, _) = encoder.recurrent(packed)  # (2, N, hidden), each at its chunk's end
    normalised = torch.nn.functional.layer_norm(states[1], [9])
    torch.testing.assert_close(encoder(frames, lengths), normalised, atol=1e-6, rtol=1e-6)


def test_the_lstm_is_that_of_the_publication():
    encoder = build_chunk_encoder(40, ChunkConfig(), dropout=0.5)
    assert (encoder.recurrent.num_layers, encoder.recurrent.hidden_size, encoder.out_dim) == (2, 130, 130)


@pytest.mark.parametrize("kind", ["mean", "lstm", "cnn"])
def test_nothing_at_all_gives_numbers(kind):
    encoder = make(kind)
    vectors = encoder(torch.zeros(2, SIZE, DIM), torch.zeros(2, dtype=torch.long))
    assert torch.isfinite(vectors).all()


def test_dropout_is_for_training_only():
    encoder, (frames, lengths) = make("lstm"), chunks()
    assert torch.equal(encoder(frames, lengths), encoder(frames, lengths))
    encoder.train()
    assert not torch.equal(encoder(frames, lengths), encoder(frames, lengths))
