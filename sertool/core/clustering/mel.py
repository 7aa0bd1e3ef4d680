"""Mel spectra as DeepEmoCluster hears them (Lin, Sridhar & Busso, ICASSP 2021)."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torchaudio.functional import melscale_fbanks

from sertool.core.audio.files import SAMPLE_RATE, read_audio

N_FFT, HOP = 512, 256
"""Window and transform of 32 ms, 62.5 frames a second: 62 frames are the publication's chunk of .992 s."""

LOG_FLOOR = 1e-6
"""Added to mel energies of speech with a peak of 1 before the logarithm; ours, as the logarithm is."""


def mel_spectrum(samples: np.ndarray, *, mels: int, log: bool) -> np.ndarray:
    """Return the mel power spectrum of peak-normalised samples.

    Frames are centred, the signal continued by zeros; Hann window, Slaney's mel scale and area norm, 0 to 8 kHz.

    Args:
        samples: at 16 kHz, any level, (S,); silence stays zero.
        mels: bands.
        log: return ln(energy + 1e-6) instead.

    Returns:
        float32, (1 + S // 256, mels).
    """
    peak = np.abs(samples).max(initial=0.0)
    signal = torch.from_numpy(samples / peak if peak > 0 else samples).float()
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(signal, N_FFT, HOP, window=window, center=True, pad_mode="constant", return_complex=True)
    energies = spectrum.abs().square().T @ _filters(mels)  # (T, mels)
    return (torch.log(energies + LOG_FLOOR) if log else energies).numpy()


def file_mel_spectrum(path: Path | str, *, mels: int, log: bool) -> np.ndarray:
    """Return the mel spectrum of an audio file, see `mel_spectrum`.

    Raises:
        AudioError: the file cannot be read.
    """
    return mel_spectrum(read_audio(path), mels=mels, log=log)


@cache
def _filters(mels: int) -> torch.Tensor:
    return melscale_fbanks(N_FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, mels, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
