"""Log-mel energies against torchaudio's own, at 50 Hz, an utterance's own in every batch."""

import pytest
import torch
from torchaudio.transforms import MelSpectrogram

from sertool.core.audio.spectra import HOP, N_FFT
from sertool.core.models.compact import CompactEncoder
from sertool.core.models.config import CompactConfig, LogMelConfig
from sertool.core.models.encoder import build_encoder
from sertool.core.models.log_mel import LOG_CENTRE, LOG_FLOOR, LOG_SPREAD, LogMelEncoder, log_mel, mel_filters


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def expected_energies(waveform: torch.Tensor, mels: int) -> torch.Tensor:
    """Log-mel frames (T, mels) of one utterance at 100 Hz, by torchaudio."""
    spectrogram = MelSpectrogram(
        16_000, n_fft=N_FFT, hop_length=HOP, f_min=20.0, n_mels=mels, norm="slaney", mel_scale="slaney"
    )
    scale = spectrogram.mel_scale.fb.sum(0).mean()
    power = spectrogram(waveform).T / N_FFT / scale
    return (torch.log(power + LOG_FLOOR) - LOG_CENTRE) / LOG_SPREAD


@pytest.mark.parametrize("samples", [16_000, 7_777, 320, 159 + 160])
def test_energies_are_torchaudios_two_frames_side_by_side(samples):
    encoder = LogMelEncoder(LogMelConfig(mels=12))
    waveform = noise(1, samples)
    output = encoder(waveform, torch.tensor([samples]))
    (state,) = output.hidden_states
    frames = expected_energies(waveform[0], 12)
    if len(frames) % 2:
        frames = torch.cat([frames, frames[-1:]])
    torch.testing.assert_close(state[0], frames.view(-1, 24), atol=1e-4, rtol=1e-4)
    assert output.frame_lengths.tolist() == [len(frames) // 2]


def test_an_utterance_is_heard_as_if_alone():
    encoder = LogMelEncoder(LogMelConfig(mels=12))
    lengths = torch.tensor([16_000, 7_777, 4_321, 150, 1])
    waveform = noise(5, 16_000) * (torch.arange(16_000) < lengths[:, None])
    output = encoder(waveform, lengths)
    assert output.frame_lengths.tolist() == [51, 25, 14, 1, 1]
    for row, length in enumerate(lengths.tolist()):
        alone = encoder(waveform[row : row + 1, :length], lengths[row : row + 1])
        own = int(alone.frame_lengths)
        torch.testing.assert_close(output.hidden_states[0][row, :own], alone.hidden_states[0][0], atol=1e-5, rtol=0)
        assert not output.hidden_states[0][row, own:].any()


def test_it_has_one_hidden_state_and_nothing_to_learn():
    encoder = build_encoder(LogMelConfig(mels=10))
    assert (encoder.dim, encoder.num_states) == (20, 1)
    assert not list(encoder.parameters())
    assert encoder.parts() == {"front-end": [], "encoder-lower": [], "encoder-upper": []}
    assert encoder.linear_layers() == {"feed-forward": [], "attention": []}
    assert set(encoder.state_dict()) == {"window", "mel_filters"}


def test_a_frame_hears_as_far_as_is_said_and_no_farther():
    encoder = LogMelEncoder(LogMelConfig(mels=12))
    waveform = noise(1, 32_000).requires_grad_()
    state = encoder(waveform, torch.tensor([32_000])).hidden_states[0][0, 40]
    (gradient,) = torch.autograd.grad(state.sum(), waveform)
    heard = gradient[0].nonzero()[:, 0] - 40 * 320
    assert -encoder.reach <= heard.min() and heard.max() <= encoder.reach
    assert heard.max() > 0.98 * encoder.reach


def test_the_compact_encoder_hears_the_same_under_the_names_it_always_had():
    compact = CompactEncoder(CompactConfig(mels=12, dim=8, layers=1, kernel=3))
    state = compact.state_dict()
    assert list(state)[:2] == ["window", "mel_filters"]
    assert torch.equal(state["window"], torch.hann_window(N_FFT))
    assert torch.equal(state["mel_filters"], mel_filters(12))
    heard = []
    compact.front_end.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    waveform, lengths = noise(1, 4_000), torch.tensor([4_000])
    compact(waveform, lengths)
    assert torch.equal(heard[0], log_mel(waveform, lengths, state["window"], state["mel_filters"])[0])


def test_energies_are_float32_under_autocast():
    encoder = LogMelEncoder(LogMelConfig(mels=12))
    waveform, lengths = noise(1, 4_000), torch.tensor([4_000])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = encoder(waveform, lengths).hidden_states[0]
    assert torch.equal(inside, encoder(waveform, lengths).hidden_states[0])
