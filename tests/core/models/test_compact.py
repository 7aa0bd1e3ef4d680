"""The compact encoder: rates, sizes, and how far a frame hears."""

import pytest
import torch
from torch.nn import functional as F

from sertool.core.models.compact import CompactEncoder, DepthwiseConvolution, mel_filters
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


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("frames", [1, 3, 40, 41])
def test_a_depthwise_convolution_is_torchs(frames, dilation):
    convolution = DepthwiseConvolution(dim=6, kernel=5, dilation=dilation)
    x = torch.randn(3, frames, 6, requires_grad=True)
    ours = convolution(x)
    theirs = F.conv1d(
        *(x.transpose(1, 2), convolution.weight, convolution.bias), padding=2 * dilation, dilation=dilation, groups=6
    ).transpose(1, 2)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    direction, inputs = torch.randn_like(ours), (x, convolution.weight, convolution.bias)
    for one, other in zip(*(torch.autograd.grad((y * direction).sum(), inputs) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
