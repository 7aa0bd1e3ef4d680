"""Log-mel energies: what the compact encoder hears, and an encoder that learns nothing, for heads that do."""

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.audio.spectra import HOP, N_FFT, NUM_BINS, centred_stft, frame_mask, stft_frames
from sertool.core.models.config import LogMelConfig
from sertool.core.models.encoder import Encoder, EncoderOutput, HiddenFrames

LOG_FLOOR = 1e-5
"""Added to mel energies before the logarithm: about 46 dB below a standardised utterance's mean, so that the pauses of
clean speech do not look like nothing else."""

LOG_CENTRE, LOG_SPREAD = -4.0, 3.0
"""About the mean and deviation of log-mel energies of speech in noise; what is fed in is centred on the one and divided
by the other, with fixed numbers, so that a frame does not depend on the rest of its utterance."""


class LogMelEncoder(Encoder):
    """Map standardised waveforms to their log-mel energies, the only hidden state; there is nothing to learn.

    Ours: a frame at 50 Hz is two adjacent ones at 100 Hz side by side, so D is twice the number of mel bands; an odd
    last one stands there twice.
    """

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__()
        self.config = config
        # Stored with the weights: a model read back must hear exactly what the trained one heard.
        with torch.device("cpu"):  # on the meta device torch makes windows by its compiler, slow to import
            self.register_buffer("window", torch.hann_window(N_FFT))
        self.register_buffer("mel_filters", mel_filters(config.mels))

    @property
    def dim(self) -> int:
        """Width of a hidden state, D."""
        return 2 * self.config.mels

    @property
    def num_states(self) -> int:
        """Hidden states returned, L + 1."""
        return 1

    @property
    def reach(self) -> int:
        """Samples before and after a frame's centre beyond which nothing changes it."""
        # The second of the two frames lies a hop later.
        return HOP + N_FFT // 2

    def parts(self) -> dict[str, list[nn.Module]]:
        """Return no modules: nothing learns."""
        return {"front-end": [], "encoder-lower": [], "encoder-upper": []}

    def linear_layers(self) -> dict[str, list[str]]:
        """Return no names: there is nothing to adapt."""
        return {"feed-forward": [], "attention": []}

    def forward(self, waveform: Tensor, lengths: Tensor, hidden: HiddenFrames | None = None) -> EncoderOutput:
        """Return the log-mel energies.

        Args:
            waveform: standardised samples at 16 kHz, (B, S).
            lengths: samples of each utterance, (B,).
            hidden: None; there is nothing that could learn to do without frames.

        Returns:
            One tensor (B, T, D), T = ceil((1 + S // 160) / 2), zero in the padding; and the frame lengths (B,).

        Raises:
            ValueError: frames are to be hidden.
        """
        if hidden is not None:
            raise ValueError("log-mel energies learn nothing from hidden frames: take an encoder that has weights")
        frames, lengths = log_mel(waveform, lengths, self.window, self.mel_filters)
        pairs = torch.arange(2 * -(-frames.shape[1] // 2), device=frames.device).minimum(lengths[:, None] - 1)
        paired = frames.gather(1, pairs[:, :, None].expand(-1, -1, frames.shape[2]))
        paired = paired.unflatten(1, (-1, 2)).flatten(2)  # (B, T, D)
        lengths = -(-lengths // 2)
        return EncoderOutput((paired * frame_mask(lengths, paired.shape[1])[:, :, None],), lengths)


def log_mel(waveform: Tensor, lengths: Tensor, window: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    """Return centred log-mel energies at 100 Hz.

    Args:
        waveform: standardised samples at 16 kHz, (B, S).
        lengths: samples of each utterance, (B,).
        window: (N_FFT,).
        filters: see `mel_filters`, (201, mels).

    Returns:
        float32, (B, T, mels), T = 1 + S // 160; and each utterance's frames, (B,).
    """
    with torch.autocast(waveform.device.type, enabled=False):
        power = centred_stft(waveform.float(), lengths, window).abs().square() / N_FFT
        energies = torch.log(power @ filters + LOG_FLOOR)
    return (energies - LOG_CENTRE) / LOG_SPREAD, stft_frames(lengths)


def mel_filters(mels: int) -> Tensor:
    """Return triangular filters evenly spaced in mel from 20 Hz to 8 kHz (Slaney's scale), (201, mels)."""
    with torch.device("cpu"):  # torchaudio looks at values, which a model being built on the meta device has not
        filters = melscale_fbanks(NUM_BINS, 20.0, SAMPLE_RATE / 2, mels, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
    return filters / filters.sum(0).mean()
