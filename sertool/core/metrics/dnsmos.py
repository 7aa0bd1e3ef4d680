"""DNSMOS: speech quality without a reference (Reddy, Gopal & Cutler, ICASSP 2021 and, after ITU-T P.835, ICASSP 2022).

The networks are Microsoft's; this toolkit holds none. The user points to their ONNX files: `sig_bak_ovr.onnx` estimates
how listeners rate the signal, the background and the whole (P.835), `model_v8.onnx` the quality as P.808 asks for it.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE, resample
from sertool.core.errors import InputError
from sertool.core.metrics.unscored import NO_SAMPLES, NOT_FINITE, SILENT_ESTIMATE, is_silent

P835_NAME, P808_NAME = "sig_bak_ovr.onnx", "model_v8.onnx"
"""What the two networks are called in a folder."""

WINDOW_S, WINDOW = 9.01, 144_160
"""What either network judges at once, in seconds and in samples at 16 kHz."""

HOP = 16_000
"""Samples between windows: 1 s."""

N_FFT, MEL_HOP, MELS = 321, 160, 120
"""Of the spectrum the P.808 network looks at."""

FITS = {
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos_ovr": (-0.06766283, 1.11546468, 0.04602535),
}
"""Published polynomials, highest power first, from what the P.835 network gives to the scale listeners used."""

P835_MEASURES, P808_MEASURES = tuple(FITS), ("dnsmos_p808",)


@dataclass(frozen=True)
class Dnsmos:
    """The networks at hand. It can be sent to other processes, which read the files again.

    Attributes:
        p835: path of the P.835 network; None where there is none.
        p808: path of the P.808 network; None where there is none.
        digests: SHA-256 of each file's bytes, by the file's name.
    """

    p835: Path | None
    p808: Path | None
    digests: dict[str, str]

    @classmethod
    def read(cls, path: Path | str) -> "Dnsmos":
        """Read one network or both, and try each on a second of a tone.

        Args:
            path: a folder that holds `sig_bak_ovr.onnx` or `model_v8.onnx`, or both; or one file, whatever its name:
                what it takes in tells which network it is.

        Raises:
            InputError: onnxruntime is not installed, there is no such file, or one is no such network.
        """
        path = Path(path).absolute()
        _onnxruntime()
        if "pdnsmos" in (path.name.lower(), path.parent.name.lower()):
            raise InputError(
                f"{path}: is the personalised network, which also minds other talkers and has a scale of its own; "
                "expected that of DNSMOS: take the file of the same name from the folder DNSMOS/DNSMOS"
            )
        if path.is_dir():
            found = [path / name for name in (P835_NAME, P808_NAME) if (path / name).is_file()]
        else:
            found = [path] if path.is_file() else []
        if not found:
            raise InputError(
                f"{path}: no DNSMOS network there; expected {P835_NAME}, {P808_NAME} or a folder that holds one: get "
                "them from the folder DNSMOS/DNSMOS of Microsoft's DNS-Challenge repository"
            )
        digests = {file.name: hashlib.sha256(_bytes(file)).hexdigest() for file in found}
        networks = {_kind(file, digests[file.name]): file for file in found}
        if len(networks) < len(found):
            raise InputError(f"{path}: both files are the same network; expected one of each: copy them again")
        read = cls(p835=networks.get("p835"), p808=networks.get("p808"), digests=digests)
        read._try()
        return read

    @property
    def measures(self) -> tuple[str, ...]:
        """What can be scored with the networks at hand."""
        return P835_MEASURES * (self.p835 is not None) + P808_MEASURES * (self.p808 is not None)

    def score(self, samples: np.ndarray, rate: int = SAMPLE_RATE) -> dict[str, Any]:
        """Score a signal by itself: on the scale of listeners' mean opinion, about 1 to 5.

        Shorter than 9.01 s, the signal is repeated (doubled until it is long enough); longer, the mean over windows
        that begin every second is taken, as in the published script (see `windows`).

        Args:
            samples: shape (S,), nominally in [-1, 1]; the level counts, as it does for listeners.
            rate: in Hz; resampled to 16 kHz where it is another.

        Returns:
            The value of each of `measures`, None where the signal cannot be scored; and `reasons`: for each measure
            without a value, why.

        Raises:
            ValueError: the samples are not of shape (S,).
            InputError: a file is not the one that was read any more.
        """
        with np.errstate(over="ignore"):
            samples = np.asarray(samples).astype(np.float32)  # what the networks take; beyond its range not finite
        if samples.ndim != 1:
            raise ValueError(f"samples {samples.shape} are not one channel (S,): score each channel by itself")
        if reason := _unscored(samples):
            return {**dict.fromkeys(self.measures), "reasons": dict.fromkeys(self.measures, reason)}
        values = self._values(windows(resample(samples, rate, SAMPLE_RATE)))
        reasons = {name: "the network's answer is not a number" for name, value in values.items() if value is None}
        return {**values, "reasons": reasons}

    def _values(self, cut: np.ndarray) -> dict[str, float | None]:
        raw: dict[str, np.ndarray] = {}
        if self.p835 is not None:
            answers = _answers(self.p835, self.digests[self.p835.name], cut, outputs=3)  # (W, 3)
            raw |= {name: np.polyval(fit, answers[:, i]) for i, (name, fit) in enumerate(FITS.items())}
        if self.p808 is not None:
            spectra = np.stack([p808_spectrum(window) for window in cut])
            raw["dnsmos_p808"] = _answers(self.p808, self.digests[self.p808.name], spectra, outputs=1)[:, 0]
        means = {name: float(values.mean()) for name, values in raw.items()}
        return {name: value if np.isfinite(value) else None for name, value in means.items()}

    def _try(self) -> None:
        tone = 0.1 * np.sin(2 * np.pi * 440 / SAMPLE_RATE * np.arange(SAMPLE_RATE))
        if reasons := self.score(tone)["reasons"]:
            raise InputError(f"{', '.join(self.digests)}: {next(iter(reasons.values()))}; expected one: copy it again")


def windows(samples: np.ndarray) -> np.ndarray:
    """Cut a signal into the windows the networks judge, as the published script does, so that values can be compared.

    They are as many as there are whole seconds beyond nine, at least one, less those that begin at 7 to 23 s (and some
    from 119 s on), whose end the script's arithmetic, followed here, puts a sample too early.

    Args:
        samples: at 16 kHz, (S,), S > 0; doubled until it is as long as one window.

    Returns:
        float32, (W, 144160).
    """
    samples = np.asarray(samples, dtype=np.float32)
    while len(samples) < WINDOW:
        samples = np.concatenate([samples, samples])
    seconds = range(max(len(samples) // SAMPLE_RATE - 9, 1))
    starts = [second * HOP for second in seconds if int((second + WINDOW_S) * HOP) - second * HOP == WINDOW]
    return np.stack([samples[start : start + WINDOW] for start in starts])


def p808_spectrum(window: np.ndarray) -> np.ndarray:
    """Return what the P.808 network looks at: mel power in dB below its largest value, at most 80, as (dB + 40) / 40.

    Of the window's 9.01 s the last 10 ms are left out. Frames of 321 samples (periodic Hann) are centred every 160, the
    signal continued by zeros; 120 triangular bands from 0 to 8 kHz on Slaney's mel scale, each of unit area.

    Args:
        window: at 16 kHz, (144160,).

    Returns:
        float32, (900, 120).
    """
    padded = np.pad(window[:-MEL_HOP].astype(np.float64), N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::MEL_HOP]  # (900, 321)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    power = np.square(np.abs(np.fft.rfft(frames * hann))) @ _mel_filters()
    level_db = 10.0 * np.log10(np.maximum(power, 1e-10) / max(power.max(), 1e-10))
    return ((np.maximum(level_db, level_db.max() - 80.0) + 40.0) / 40.0).astype(np.float32)


@functools.cache
def _mel_filters() -> np.ndarray:
    """Return triangles over the spectrum's bins, (161, 120); torchaudio's suppose an even transform."""
    # Slaney's scale: linear up to 1 kHz (15 mel), then 27 mel for every factor of 6.4.
    mel = np.linspace(0.0, 15.0 + 27.0 * np.log(8.0) / np.log(6.4), MELS + 2)
    edges = np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp((mel - 15.0) * np.log(6.4) / 27.0))  # Hz
    bins = np.fft.rfftfreq(N_FFT, 1.0 / SAMPLE_RATE)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    return np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (edges[2:] - edges[:-2])


def _unscored(samples: np.ndarray) -> str | None:
    if samples.size == 0:
        return NO_SAMPLES
    if not np.isfinite(samples).all():
        return NOT_FINITE
    return SILENT_ESTIMATE if is_silent(samples) else None


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            "onnxruntime is not installed, which DNSMOS needs; expected it beside sertool: "
            "pip install 'sertool[dnsmos]'"
        ) from error
    return onnxruntime


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected an ONNX file: copy it again") from error


@functools.lru_cache(maxsize=8)
def _network(path: Path, digest: str) -> Any:
    """Return a network ready to compute in this process, in one thread, on the CPU: the same wherever it is asked."""
    content = _bytes(path)
    if hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{path}: was changed while it was in use; expected the file as it was: start again")
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised too
    try:
        return onnxruntime.InferenceSession(content, sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no class
        raise InputError(
            f"{path}: is no network that onnxruntime can read; expected {P835_NAME} or {P808_NAME}: copy it again"
        ) from error


def _kind(path: Path, digest: str) -> str:
    """Return which of the two networks a file is, by what it takes in."""
    inputs = _network(path, digest).get_inputs()
    shape = [size if isinstance(size, int) else None for size in inputs[0].shape] if len(inputs) == 1 else []
    wanted = {"p835": [WINDOW], "p808": [900, MELS]}
    for kind, sizes in wanted.items():
        free_batch = len(shape) == len(sizes) + 1 and shape[0] in (None, 1)
        alike = free_batch and all(found in (None, size) for found, size in zip(shape[1:], sizes, strict=True))
        named = {P835_NAME: "p835", P808_NAME: "p808"}.get(path.name, kind)
        if alike and inputs[0].type == "tensor(float)" and named == kind:
            return kind
    found = "; ".join(f"{one.type} {one.shape}" for one in inputs) or "nothing"
    raise InputError(
        f"{path}: takes in {found}; expected tensor(float) [N, {WINDOW}] ({P835_NAME}) or [N, 900, {MELS}] "
        f"({P808_NAME}): name the right file"
    )


def _answers(path: Path, digest: str, batch: np.ndarray, *, outputs: int) -> np.ndarray:
    """Return the network's first output for each of a batch, one by one, float64, (W, outputs)."""
    network = _network(path, digest)
    name = network.get_inputs()[0].name
    try:
        answers = [np.asarray(network.run(None, {name: one[None]})[0], dtype=np.float64) for one in batch]
    except Exception as error:
        raise InputError(f"{path}: fails on a window ({error}); expected a DNSMOS network: copy it again") from error
    if any(answer.size != outputs for answer in answers):
        raise InputError(
            f"{path}: answers a window with {answers[0].size} numbers; expected {outputs}: name the right file"
        )
    return np.stack(answers).reshape(len(answers), outputs)
