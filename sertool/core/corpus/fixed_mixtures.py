"""Fixed mixtures: a table that says of each mixture how it is made, and what other systems scored on these samples.

A row is a clip of speech, a recording of noise and the numbers that make a mixture of them:
x = gain · (clip + noise_gain · n), n being the recording begun at its offset and gone round, or cut, to the clip's
length. Nothing is drawn, so whoever has the audio has the same samples.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa

from sertool.core.audio.files import SAMPLE_RATE, audio_info, read_audio
from sertool.core.corpus.mixing import measure_snr
from sertool.core.corpus.tables import columns_found, read_table
from sertool.core.errors import InputError

NAMES = ("clip", "noise")
NUMBERS = ("noise_offset_samples", "snr_db", "noise_gain", "gain")

MEASURES = {
    **{"pesq": "pesq_wb", "pesq_wb": "pesq_wb", "stoi": "stoi", "estoi": "estoi", "sisdr": "si_sdr"},
    **{"si_sdr": "si_sdr", "segmental_snr": "segmental_snr", "csig": "csig", "cbak": "cbak", "covl": "covl"},
}
"""How the column of a stored score ends, and what the measure is called here."""

SNR_TOLERANCE_DB = 0.1
"""How far the SNR of the samples may lie from the table's (ours): gains are stored rounded, to six digits say."""


@dataclass(frozen=True)
class FixedMixture:
    """How one mixture is made.

    Attributes:
        clip: what the table calls the speech.
        clip_path: where that lies.
        noise: what the table calls the recording of noise.
        noise_path: where that lies.
        offset: sample of the recording, at 16 kHz, on which the noise begins.
        snr_db: SNR in dB over the whole utterance.
        noise_gain: factor of the noise.
        gain: factor of the mixture, and of its clean reference.
    """

    clip: str
    clip_path: Path
    noise: str
    noise_path: Path
    offset: int
    snr_db: float
    noise_gain: float
    gain: float

    @property
    def noise_kind(self) -> str:
        """What sounds in the noise: the folder its recording lies in."""
        return PurePath(self.noise).parent.name


@dataclass(frozen=True)
class FixedMixtures:
    """The mixtures of a table, in its order, and the scores stored beside them.

    Attributes:
        rows: how each is made, N of them.
        stored: for each system, `unprocessed` for the mixtures themselves, and each measure, by the names they have
            here: the scores, float64, shape (N,), NaN where the table has none.
        folder: what the table's paths start from: its own folder, or the nearest above it in which the first clip lies.
        path: the table.
    """

    rows: tuple[FixedMixture, ...]
    stored: dict[str, dict[str, np.ndarray]]
    folder: Path
    path: Path

    def __len__(self) -> int:
        return len(self.rows)


def read_fixed_mixtures(path: Path | str) -> FixedMixtures:
    """Read a table of fixed mixtures, and make sure that all its audio is there, one channel at 16 kHz.

    Args:
        path: CSV, TSV or Parquet with the columns `clip`, `noise`, `noise_offset_samples`, `snr_db`, `noise_gain`,
            `gain`; and stored scores `<system>_<measure>`, see `MEASURES`. Other columns are passed over.

    Raises:
        InputError: it is no such table, a value is none, audio is missing, or offsets in samples mean nothing in it
            because its rate is another.
    """
    path = Path(path)
    table = read_table(path)
    missing = [name for name in (*NAMES, *NUMBERS) if name not in table.column_names]
    if missing:
        raise InputError(
            f"{path}: has no column '{missing[0]}', but {columns_found(table.column_names)}; expected "
            f"{', '.join((*NAMES, *NUMBERS))}: add it, or name another table"
        )
    if table.num_rows == 0:
        raise InputError(f"{path}: holds no mixtures; expected at least one row below the header: add rows")
    names = {name: [_name(value, name, row, path) for row, value in enumerate(_texts(table, name))] for name in NAMES}
    numbers = {name: _numbers(table, name, path) for name in NUMBERS}
    folder = _folder_of(names["clip"][0], path)
    rows = tuple(_row(row, names, numbers, folder=folder, path=path) for row in range(table.num_rows))
    for file in dict.fromkeys(file for row in rows for file in (row.clip_path, row.noise_path)):
        _check_audio(file, path)
    return FixedMixtures(rows, _stored(table, path), folder, path)


def mixture_of(row: FixedMixture) -> tuple[np.ndarray, np.ndarray]:
    """Return a mixture and its clean reference, float32, shape (S,) each, S the length of the clip.

    Both are reckoned in float64 and rounded once.

    Raises:
        InputError: the samples do not have the SNR of the table, so they are not those it was made with, or the clip or
            the noise is silent.
        AudioError: a file cannot be read.
    """
    clip = read_audio(row.clip_path).astype(np.float64)
    noise = row.noise_gain * np.resize(np.roll(_recording(row.noise_path), -row.offset), len(clip))
    if not (clip.any() and noise.any()):
        silent = "noise" if clip.any() else "clip"
        raise InputError(
            f"{row.clip} in {row.noise}: the {silent} is silent; expected {row.snr_db:g} dB between the two: "
            "get the audio the table was made with"
        )
    found = measure_snr(clip + noise, clip)
    if not abs(found - row.snr_db) <= SNR_TOLERANCE_DB:
        raise InputError(
            f"{row.clip} in {row.noise}: the samples have an SNR of {found:.2f} dB; expected {row.snr_db:g} dB as the "
            "table says: get the audio it was made with, or correct the row"
        )
    return (row.gain * (clip + noise)).astype(np.float32), (row.gain * clip).astype(np.float32)


def _row(
    row: int, names: dict[str, list[str]], numbers: dict[str, np.ndarray], *, folder: Path, path: Path
) -> FixedMixture:
    where = f"{path}: row {row + 1}"
    clip, noise = (names[name][row] for name in NAMES)
    offset, snr_db, noise_gain, gain = (float(numbers[name][row]) for name in NUMBERS)
    if offset < 0 or offset != int(offset):
        raise InputError(f"{where}: noise_offset_samples is {offset:g}; expected a whole number from 0: correct it")
    for name, value in (("noise_gain", noise_gain), ("gain", gain)):
        if not value > 0:
            raise InputError(f"{where}: {name} is {value:g}; expected a factor above 0: correct it")
    return FixedMixture(clip, folder / clip, noise, folder / noise, int(offset), snr_db, noise_gain, gain)


def _folder_of(clip: str, path: Path) -> Path:
    """Return the table's folder, or the nearest above it in which a clip lies."""
    own = path.resolve().parent
    found = next((folder for folder in (own, *own.parents) if (folder / clip).is_file()), None)
    if found is None:
        raise InputError(
            f"{path}: row 1: there is no {clip}, neither from the table's folder nor from one above it; expected the "
            "audio there: put the table beside its corpora"
        )
    return found


def _check_audio(file: Path, path: Path) -> None:
    if not file.is_file():
        raise InputError(
            f"{path}: there is no {file}; expected every clip and noise it names: get the rest of the audio"
        )
    info = audio_info(file)
    if (info.rate, info.channels) != (SAMPLE_RATE, 1):
        raise InputError(
            f"{file}: has {info.channels} channels at {info.rate} Hz; expected one at {SAMPLE_RATE} Hz, in which "
            f"{path.name} counts samples: get the audio the table was made with"
        )


def _texts(table: pa.Table, name: str) -> list[str | None]:
    return table[name].cast(pa.string()).to_pylist()


def _name(value: str | None, name: str, row: int, path: Path) -> str:
    if not value or ".." in PurePath(value).parts:
        found = f"'{name}' is '{value}'" if value else f"has no '{name}'"
        raise InputError(
            f"{path}: row {row + 1}: {found}; expected a path beneath the table's folder or one above it, without "
            "'..': fill it in"
        )
    return value


def _numbers(table: pa.Table, name: str, path: Path, *, may_lack: bool = False) -> np.ndarray:
    """Return a column of finite numbers, float64, (N,); null becomes NaN where it may be."""
    values = np.full(table.num_rows, np.nan)
    for row, text in enumerate(_texts(table, name)):
        if may_lack and text is None:
            continue
        try:
            values[row] = float(text or "nan")
        except ValueError:
            values[row] = math.nan
        if not math.isfinite(values[row]):
            raise InputError(f"{path}: row {row + 1}: '{name}' is '{text or ''}'; expected a finite number: correct it")
    return values


def _stored(table: pa.Table, path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the stored scores by system and measure; the longest ending counts: x_si_sdr is no measure of x_si."""
    stored: dict[str, dict[str, np.ndarray]] = {}
    for name in table.column_names:
        ending = max(
            (end for end in MEASURES if name.endswith(f"_{end}") and len(name) > len(end) + 1), key=len, default=""
        )
        if ending and name not in NUMBERS:
            scores = stored.setdefault(name[: -len(ending) - 1], {})
            if MEASURES[ending] in scores:
                raise InputError(f"{path}: has '{name}' and the same measure by another name: leave one of them out")
            scores[MEASURES[ending]] = _numbers(table, name, path, may_lack=True)
    return stored


@lru_cache(maxsize=256)
def _recording(path: Path) -> np.ndarray:
    samples = read_audio(path).astype(np.float64)
    samples.flags.writeable = False
    return samples
