"""Functionals of speech: how level, spectrum and pitch run over an utterance, as one vector of fixed length.

Our own choice of what the field's feature sets (INTERSPEECH 2009, eGeMAPS: Eyben et al., IEEE TAC 2016) have in common,
with no learned part: frames of 25 ms every 10 ms, pitch from frames of 40 ms by autocorrelation divided by that of the
window (Boersma 1993), then statistics over all frames, over the loud and over the voiced ones.
"""

import numpy as np
from scipy.fft import dct, irfft, rfft
from scipy.ndimage import median_filter

RATE = 16_000
FRAME, HOP, BINS = 400, 160, 512
PITCH_FRAME, PITCH_BINS = 640, 1024
LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
MELS, CEPSTRA = 26, 12

VOICED = 0.45
"""Height of the autocorrelation's peak from which a frame is voiced (Boersma 1993, section 5)."""

VOICED_BELOW_MAX_DB = 35.0
LEVEL_FLOOR = 1e-9  # mean square, -90 dB: below lies what the format makes of silence
OCTAVE_COST = 0.05  # of its peak, each octave a period is longer (ours; Boersma: 0.01, of longer frames)
PITCH_BELOW_HZ = 1000.0  # of higher harmonics a period of whole samples misses the peak

PERCENTILES = (5, 20, 50, 80, 95)

_FREQUENCIES = np.fft.rfftfreq(BINS, 1 / RATE)
_SPECTRAL = (
    "centroid",
    "spread",
    "roll-off",
    "flux",
    "flatness",
    "slope 0-500",
    "slope 500-1500",
    "alpha",
    "hammarberg",
)


def functionals(samples: np.ndarray) -> np.ndarray:
    """Return the functionals of an utterance, float32, (F,), in the order of `NAMES`.

    Args:
        samples: 16 kHz, shape (S,).
    """
    level_db, mel, cepstra, spectral = _spectra(samples)
    pitch, strength = _pitch(samples, len(level_db))
    voiced = (strength > VOICED) & (level_db > level_db.max() - VOICED_BELOW_MAX_DB)
    shape = np.column_stack([level_db, strength, cepstra, spectral])  # (T, D)
    tracks = np.column_stack([shape, mel])
    loud = level_db >= (level_db.min() + level_db.max()) / 2
    parts = [
        _over_all(tracks),
        _over_some(tracks, loud),
        _over_some(shape, voiced),
        _of_changes(shape),
        _of_pitch(pitch, voiced),
        _of_rhythm(level_db, voiced),
    ]
    return np.concatenate(parts).astype(np.float32)


def _frames(samples: np.ndarray, size: int, count: int | None = None) -> np.ndarray:
    """Return frames centred on the same moments whatever their size, (T, size)."""
    count = count or max(1, 1 + (len(samples) - FRAME) // HOP)
    before = (size - FRAME) // 2
    padded = np.pad(samples, (before, max(0, (count - 1) * HOP + size - len(samples) - before)))
    return np.lib.stride_tricks.sliding_window_view(padded, size)[: (count - 1) * HOP + 1 : HOP]


def _mel_filters() -> np.ndarray:
    """Return triangles of equal width on the mel scale between 20 Hz and 8 kHz, (BINS // 2 + 1, MELS)."""
    mels = np.linspace(_mel(20.0), _mel(RATE / 2), MELS + 2)
    rising = (_mel(_FREQUENCIES)[:, None] - mels[:-2]) / np.diff(mels)[:-1]
    falling = (mels[2:] - _mel(_FREQUENCIES)[:, None]) / np.diff(mels)[1:]
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    return 2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0)


_MEL_FILTERS = _mel_filters()
_WINDOW = np.hanning(FRAME).astype(np.float32)
_PITCH_WINDOW = np.hanning(PITCH_FRAME).astype(np.float32)


def _spectra(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return level in dB (T,), log-mel (T, MELS), cepstra (T, CEPSTRA) and descriptors of the spectrum (T, 9)."""
    frames = _frames(np.asarray(samples, np.float32), FRAME)
    level_db = 10.0 * np.log10(np.mean(frames**2, axis=1) + LEVEL_FLOOR)
    power = np.abs(rfft(frames * _WINDOW, BINS, axis=1)) ** 2 / np.sum(_WINDOW**2) + LEVEL_FLOOR
    mel = np.log(power @ _MEL_FILTERS + LEVEL_FLOOR)
    cepstra = dct(mel, norm="ortho", axis=1)[:, 1 : CEPSTRA + 1]
    return level_db, mel, cepstra, _spectral(power)


def _spectral(power: np.ndarray) -> np.ndarray:
    share = power / power.sum(axis=1, keepdims=True)
    power_db = 10.0 * np.log10(power)
    centroid = share @ _FREQUENCIES
    spread = np.sqrt(np.maximum(0.0, share @ _FREQUENCIES**2 - centroid**2))
    rolled = _FREQUENCIES[np.argmax(np.cumsum(share, axis=1) >= 0.85, axis=1)]
    flux = np.sqrt(np.sum(np.diff(np.sqrt(share), axis=0, prepend=np.sqrt(share[:1])) ** 2, axis=1))
    flatness = np.log(power).mean(axis=1) - np.log(power.mean(axis=1))
    low, middle = _band(0, 500), _band(500, 1500)
    alpha = 10.0 * np.log10(power[:, _band(50, 1000)].sum(axis=1) / power[:, _band(1000, 5000)].sum(axis=1))
    hammarberg = power_db[:, _band(0, 2000)].max(axis=1) - power_db[:, _band(2000, 5000)].max(axis=1)
    slopes = [_slopes(power_db[:, band].T, _FREQUENCIES[band]) for band in (low, middle)]
    return np.column_stack([centroid, spread, rolled, flux, flatness, *slopes, alpha, hammarberg])


def _band(low_hz: float, high_hz: float) -> slice:
    return slice(*np.searchsorted(_FREQUENCIES, (low_hz, high_hz)))


def _slopes(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the slope of the least-squares line through each column of values (N, D), as placed at (N,)."""
    centred = at - at.mean()
    return centred @ values / max(float(centred @ centred), 1e-12)


def _pitch(samples: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pitch in semitones above 27.5 Hz, and how periodic each frame is, from 0 to 1; (T,) each."""
    frames = _frames(np.asarray(samples, np.float32), PITCH_FRAME, count)
    frames = (frames - frames.mean(axis=1, keepdims=True)) * _PITCH_WINDOW
    correlation = _autocorrelation(frames)
    window = _autocorrelation(_PITCH_WINDOW[None])
    shortest, longest = int(RATE / HIGHEST_HZ), int(RATE / LOWEST_HZ) + 1
    ratio = correlation / np.maximum(correlation[:, :1], 1e-10) * (window[:, :1] / window)
    lags = np.arange(shortest, longest)
    best = np.argmax(ratio[:, lags] - OCTAVE_COST * np.log2(lags / shortest), axis=1) + shortest
    rows = np.arange(count)
    before, peak, after = ratio[rows, best - 1], ratio[rows, best], ratio[rows, best + 1]
    curvature = before - 2 * peak + after
    shift = np.where(curvature < -1e-6, 0.5 * (before - after) / np.minimum(curvature, -1e-6), 0.0)
    hertz = RATE / (best + np.clip(shift, -0.5, 0.5))
    semitones = 12.0 * np.log2(hertz / 27.5)
    return median_filter(semitones, 5, mode="nearest"), np.clip(peak, 0.0, 1.0)


def _autocorrelation(frames: np.ndarray) -> np.ndarray:
    """Return the autocorrelation up to just beyond the longest period, (T, lags)."""
    power = np.abs(rfft(frames, PITCH_BINS, axis=1)) ** 2
    power[:, round(PITCH_BELOW_HZ * PITCH_BINS / RATE) :] = 0.0
    return irfft(power, PITCH_BINS, axis=1)[:, : int(RATE / LOWEST_HZ) + 3]


def _over_all(tracks: np.ndarray) -> np.ndarray:
    """Return mean, deviation, percentiles, their range and the slope over time of each track (T, D)."""
    percentiles = np.percentile(tracks, PERCENTILES, axis=0)
    slopes = _slopes(tracks, np.arange(len(tracks)) * HOP / RATE)
    return np.concatenate(
        [tracks.mean(axis=0), tracks.std(axis=0), *percentiles, percentiles[-1] - percentiles[0], slopes]
    )


def _over_some(tracks: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return mean and deviation of each track over the frames chosen; over all where there are none."""
    chosen = chosen if chosen.any() else np.ones_like(chosen)
    return np.concatenate([tracks[chosen].mean(axis=0), tracks[chosen].std(axis=0)])


def _of_changes(tracks: np.ndarray) -> np.ndarray:
    """Return what the regression over five frames of each track (T, D) is like."""
    padded = np.pad(tracks, ((2, 2), (0, 0)), mode="edge")
    change = (padded[3:-1] - padded[1:-3] + 2 * (padded[4:] - padded[:-4])) / 10.0
    return np.concatenate([change.std(axis=0), np.abs(change).mean(axis=0), *np.percentile(change, (5, 95), axis=0)])


def _of_pitch(pitch: np.ndarray, voiced: np.ndarray) -> np.ndarray:
    """Return statistics of the pitch where it is voiced, and of how it rises and falls; zeros where it never is."""
    if voiced.sum() < 2:
        return np.zeros(len(_PITCH_NAMES))
    found = pitch[voiced]
    percentiles = np.percentile(found, PERCENTILES)
    steps = np.diff(pitch)[voiced[1:] & voiced[:-1]]
    rising, falling = (np.abs(part).mean() if len(part) else 0.0 for part in (steps[steps > 0], steps[steps < 0]))
    slope = _slopes(found[:, None], np.flatnonzero(voiced) * HOP / RATE)[0]
    spread = percentiles[-1] - percentiles[0]
    return np.array([found.mean(), found.std(), *percentiles, spread, slope, rising, falling])


def _of_rhythm(level_db: np.ndarray, voiced: np.ndarray) -> np.ndarray:
    """Return how much is voiced, in how many and how long stretches, and how often the level peaks."""
    seconds = len(voiced) * HOP / RATE
    edges = np.flatnonzero(np.diff(np.concatenate([[0], voiced.astype(int), [0]])))
    lengths = (edges[1::2] - edges[::2]) * HOP / RATE
    smooth = np.convolve(level_db, np.ones(9) / 9, mode="same")
    inner = smooth[1:-1]
    peaks = (inner > smooth[:-2]) & (inner >= smooth[2:]) & (inner > smooth.mean())
    some = lengths if len(lengths) else np.zeros(1)
    return np.array([voiced.mean(), len(lengths) / seconds, some.mean(), some.std(), peaks.sum() / seconds, seconds])


_SHAPE_NAMES = ["level", "strength", *(f"cepstrum {n + 1}" for n in range(CEPSTRA)), *_SPECTRAL]
_TRACK_NAMES = [*_SHAPE_NAMES, *(f"log-mel {n}" for n in range(MELS))]
_PITCH_NAMES = ["mean", "std", *(f"p{n}" for n in PERCENTILES), "range", "slope", "rising", "falling"]
_RHYTHM_NAMES = [
    "voiced share",
    "voiced stretches a second",
    "stretch mean",
    "stretch std",
    "peaks a second",
    "duration",
]

NAMES: tuple[str, ...] = (
    *(f"{t}, {s}" for s in ("mean", "std", *(f"p{n}" for n in PERCENTILES), "range", "slope") for t in _TRACK_NAMES),
    *(f"{t}, loud {s}" for s in ("mean", "std") for t in _TRACK_NAMES),
    *(f"{t}, voiced {s}" for s in ("mean", "std") for t in _SHAPE_NAMES),
    *(f"{t}, change {s}" for s in ("std", "mean magnitude", "p5", "p95") for t in _SHAPE_NAMES),
    *(f"pitch, {s}" for s in _PITCH_NAMES),
    *_RHYTHM_NAMES,
)
"""What each functional is."""
