"""Speech codecs of libsndfile, and the telephone band: samples coded and decoded again in memory, without delay.

Which codecs there are depends on how libsndfile was built, so each is looked for at run time. Lossless formats are no
codecs here: what comes out of them is what went in.
"""

import io
from dataclasses import dataclass
from functools import cache

import numpy as np
import soundfile
from scipy.signal import firwin, kaiserord, oaconvolve

from sertool.core.audio.files import SAMPLE_RATE, resample

TELEPHONE_HZ = (300.0, 3400.0)
"""The telephone band (ITU-T G.712)."""

TELEPHONE_RATE = 8_000
"""Rate of telephony, in Hz (ITU-T G.711)."""

MP3_DELAY = 576 + 529
"""Samples by which speech comes later out of MP3: the delay of LAME's encoder and of a Layer III decoder."""


@dataclass(frozen=True)
class Codec:
    """A codec as libsndfile has it.

    Attributes:
        name: what results call it.
        file_format: the container it is written in.
        subtype: the coding, in libsndfile's words.
        rate: at which it codes, in Hz.
        compression: from 0 (the best quality) to 1 (the smallest file); None where there is no choice.
        constant: whether the bit rate is held constant.
        upper_hz: above which nothing comes out, as measured with libsndfile 1.2; None for half its rate.
    """

    name: str
    file_format: str
    subtype: str
    rate: int = SAMPLE_RATE
    compression: float | None = None
    constant: bool = False
    upper_hz: int | None = None

    @property
    def offered(self) -> bool:
        """Whether this libsndfile has the codec; tried once a process on a tenth of a second of silence."""
        return _works(self)


def _mp3(rate_kbps: int, upper_hz: int) -> Codec:
    # libsndfile lays compression evenly over LAME's 8 to 160 kb/s at 16 kHz.
    return Codec(
        f"MP3 {rate_kbps} kb/s",
        "MP3",
        "MPEG_LAYER_III",
        compression=(160 - rate_kbps) / (160 - 8),
        constant=True,
        upper_hz=upper_hz,
    )


def _opus(rate_kbps: int, upper_hz: int | None = None) -> Codec:
    # libsndfile lays compression evenly over 6 to 256 kb/s a channel.
    compression = (256 - rate_kbps) / (256 - 6)
    return Codec(f"Opus {rate_kbps} kb/s", "OGG", "OPUS", compression=compression, upper_hz=upper_hz)


CODECS = (
    *(_mp3(rate_kbps, upper_hz) for rate_kbps, upper_hz in ((64, 7250), (32, 7250), (16, 5500))),
    *(_opus(rate_kbps, upper_hz) for rate_kbps, upper_hz in ((32, None), (16, None), (8, 4000))),
    Codec("Vorbis quality 5", "OGG", "VORBIS", compression=0.5),
    Codec("Vorbis quality 0", "OGG", "VORBIS", compression=1.0, upper_hz=7500),
    Codec("GSM 6.10", "WAV", "GSM610", TELEPHONE_RATE),
    Codec("mu-law", "WAV", "ULAW", TELEPHONE_RATE),
    Codec("A-law", "WAV", "ALAW", TELEPHONE_RATE),
    Codec("G.721 32 kb/s", "AU", "G721_32", TELEPHONE_RATE),
    Codec("G.723 24 kb/s", "AU", "G723_24", TELEPHONE_RATE),
    Codec("G.723 40 kb/s", "AU", "G723_40", TELEPHONE_RATE),
    Codec("IMA ADPCM", "WAV", "IMA_ADPCM"),
    Codec("MS ADPCM", "WAV", "MS_ADPCM"),
)
"""Codecs in use for speech or recordings.

MP3 at constant bit rates; Opus aiming at variable ones; Vorbis at its quality from 0 to 10; GSM 6.10, G.711 (mu-law and
A-law) and the ADPCM of G.721 and G.723 (both since in G.726; not the G.723.1 of videophones) at 8 kHz, as in telephony;
IMA and MS ADPCM at 64 kb/s.
"""

MU_LAW = next(codec for codec in CODECS if codec.subtype == "ULAW")


def offered_codecs() -> tuple[Codec, ...]:
    """Return the codecs this libsndfile offers."""
    return tuple(codec for codec in CODECS if codec.offered)


def missing_codecs() -> tuple[str, ...]:
    """Return the names of the codecs this libsndfile lacks."""
    return tuple(codec.name for codec in CODECS if not codec.offered)


def through_codec(samples: np.ndarray, codec: Codec) -> np.ndarray:
    """Return samples at 16 kHz as they come out of a codec.

    They are resampled to the codec's rate and back where it is another; what lies beyond [-1, 1] is clipped, as every
    codec of integers must.

    Args:
        samples: speech, float32, (S,).
        codec: which.

    Returns:
        Samples, float32, (S,), not delayed.

    Raises:
        ValueError: this libsndfile does not have the codec.
    """
    if not codec.offered:
        raise ValueError(f"libsndfile {soundfile.__libsndfile_version__} has no {codec.name}: ask `offered_codecs`")
    decoded = code(resample(np.clip(samples, -1.0, 1.0), SAMPLE_RATE, codec.rate), codec)
    return _of_length(resample(decoded, codec.rate, SAMPLE_RATE), len(samples))


def code(samples: np.ndarray, codec: Codec) -> np.ndarray:
    """Code samples at the codec's own rate, (N,), and decode them: float32, (N,), not delayed.

    MP3 at low bit rates has no room for a note of its delay in its first frame, which a decoder could take it out by.
    Then more samples come out than went in, `MP3_DELAY` of them before the first. Codecs that work in blocks fill the
    last one; what is beyond the end is cut.
    """
    coded = io.BytesIO()
    settings = {} if codec.compression is None else {"compression_level": codec.compression}
    if codec.constant:
        settings["bitrate_mode"] = "CONSTANT"
    with soundfile.SoundFile(
        coded, "w", codec.rate, 1, format=codec.file_format, subtype=codec.subtype, **settings
    ) as file:
        file.write(samples)
    coded.seek(0)
    decoded, _ = soundfile.read(coded, dtype="float32")
    late = codec.file_format == "MP3" and len(decoded) >= len(samples) + MP3_DELAY
    return _of_length(decoded[MP3_DELAY:] if late else decoded, len(samples))


def through_telephone(samples: np.ndarray) -> np.ndarray:
    """Return samples as a telephone line carries them: 300 to 3400 Hz (ITU-T G.712), 8 kHz, mu-law (ITU-T G.711).

    The filter is ours: linear phase, its delay taken out; flat within 0.1 dB over the band, 48 dB down below 100 Hz and
    above 3600 Hz.

    Args:
        samples: speech at 16 kHz, float32, (S,).

    Returns:
        Samples, float32, (S,), not delayed.

    Raises:
        ValueError: this libsndfile has no mu-law.
    """
    taps = telephone_filter()
    delay = len(taps) // 2
    narrow = oaconvolve(samples.astype(np.float64), taps)[delay : delay + len(samples)]
    return through_codec(narrow.astype(np.float32), MU_LAW)


@cache
def telephone_filter() -> np.ndarray:
    """Return the taps of the telephone band at 16 kHz, float64, (M,), M odd, symmetric about the middle one."""
    transition_hz, stop_db = 200.0, 50.0
    taps, beta = kaiserord(stop_db, transition_hz / (SAMPLE_RATE / 2))
    low, high = TELEPHONE_HZ
    edges = (low - transition_hz / 2, high + transition_hz / 2)
    return firwin(taps | 1, edges, window=("kaiser", beta), pass_zero=False, fs=SAMPLE_RATE)


@cache
def _works(codec: Codec) -> bool:
    try:
        code(np.zeros(codec.rate // 10, np.float32), codec)
    # libsndfile answers what it lacks with its own error; soundfile, for names it does not know, with these two.
    except (soundfile.LibsndfileError, ValueError, TypeError):
        return False
    return True


def _of_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Return samples cut at a length, or filled with zeros up to it."""
    return np.pad(samples[:length], (0, max(0, length - len(samples)))).astype(np.float32, copy=False)
