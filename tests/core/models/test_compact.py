"""The compact encoder: rates, sizes, and how far a frame hears."""

import torch

from sertool.core.models.compact import CompactEncoder, mel_filters
from sertool.core.models.config import CompactConfig


def test_hidden_states_at_50_hz_one_more_than_layers_in_training_and_evaluation():
    encoder = CompactEncoder(CompactConfig(dim=24, layers=4, kernel=7))
    lengths = torch.tensor([16000, 7777, 4321, 150, 1])
    for training in (True, False):
        encoder.train(training)
        output = encoder(torch.randn(5, 16000), lengths)
        assert len(output.hidden_states) == encoder.num_states == 5
        assert {state.shape for state in output.hidden_states} == {(5, 51, 24)}
        assert output.frame_lengths.tolist() == [51, 25, 14, 1, 1]


def test_a_frame_hears_as_far_as_is_said_and_no_farther():
    encoder = CompactEncoder(CompactConfig(dim=16, layers=3, kernel=5)).eval()
    waveform = torch.randn(1, 80_000, requires_grad=True)
    frame = 125  # centred on sample 40 000
    last = encoder(waveform, torch.tensor([80_000])).hidden_states[-1][0, frame]
    # Not the plain sum, which the final LayerNorm keeps at nought.
    (gradient,) = torch.autograd.grad((last * torch.randn(16)).sum(), waveform)
    heard = gradient[0].nonzero()[:, 0] - frame * 320
    assert -encoder.reach <= heard.min() and heard.max() <= encoder.reach
    assert heard.max() > 0.8 * encoder.reach


def test_no_mel_filter_is_empty():
    assert (mel_filters(80).sum(0) > 0).all()


def test_the_compact_encoder_has_a_few_million_parameters():
    assert 1.5e6 < sum(p.numel() for p in CompactEncoder(CompactConfig()).parameters()) < 5e6
