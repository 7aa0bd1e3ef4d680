"""Checking a corpus: how much speech there is of what and by whom, and which clips or splits are faulty."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sertool.core.audio.files import audio_digest, read_audio_native
from sertool.core.corpus.categories import UNLABELLED, VOTES
from sertool.core.corpus.derived_attributes import attribute_sources
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.splits import crossing, in_order
from sertool.core.engine import Outcome, map_tasks

SILENT_PEAK_DBFS = -80.0
"""A clip whose highest sample lies below this, in dB relative to full scale, is silent."""

FULL_SCALE = 1.0 - 1.5 / 32768.0
"""From here on a sample counts as full scale: the two highest steps of 16 bits, and all that lies beyond."""

CLIPPED_SHARE = 1e-4
"""A clip with this share of samples at full scale is clipped; a peak scaled to full scale touches it less often."""

NO_SPLIT = "no split"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Clip:
    """What one file holds.

    Attributes:
        duration_s: in seconds.
        rate: in Hz.
        channels: how many.
        peak_dbfs: the highest sample, in dB relative to full scale; None for digital silence.
        clipped_share: share of samples at full scale.
        bytes_digest: SHA-256 of the file, in hex.
        samples_key: equal for files that decode to the same samples; files for which it is equal may still differ.
    """

    duration_s: float
    rate: int
    channels: int
    peak_dbfs: float | None
    clipped_share: float
    bytes_digest: str
    samples_key: tuple[int, int, int, int]


@dataclass(frozen=True)
class Report:
    """What was found; `record` gives it as one JSON object.

    Attributes:
        utterances: rows of the manifest.
        hours: of speech that can be read.
        rates: number of clips by rate in Hz.
        channels: number of clips by number of channels.
        categories: number of utterances by split and category.
        speakers: number of speakers by split and sex.
        hours_by_split: hours by split.
        unknown_speakers: utterances whose speaker is not known.
        unreadable: why a file cannot be used, by its name.
        silent: files without sound, with their peak in dBFS (None: digital silence).
        clipped: share of samples at full scale, by file.
        identical: groups of files that are the same byte for byte.
        same_samples: groups of files that differ, but decode to the same samples.
        crossing: splits of every speaker found in more than one.
        crossing_audio: groups of identical files that lie in more than one split.
        votes: annotators' votes for each category, over the `voted` utterances that have any.
        voted: utterances with votes.
        attribute_sources: how many utterances have attributes, by what these come from: rated, or derived.
    """

    utterances: int
    hours: float
    rates: dict[int, int]
    channels: dict[int, int]
    categories: dict[str, dict[str, int]]
    speakers: dict[str, dict[str, int]]
    hours_by_split: dict[str, float]
    unknown_speakers: int
    unreadable: dict[str, str] = field(default_factory=dict)
    silent: dict[str, float | None] = field(default_factory=dict)
    clipped: dict[str, float] = field(default_factory=dict)
    identical: list[list[str]] = field(default_factory=list)
    same_samples: list[list[str]] = field(default_factory=list)
    crossing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    crossing_audio: list[list[str]] = field(default_factory=list)
    votes: dict[str, float] = field(default_factory=dict)
    voted: int = 0
    attribute_sources: dict[str, int] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return the report as a dict that JSON can hold; keys are the attributes' names."""
        return asdict(self)


def examine(path: Path) -> Clip:
    """Decode a file and return what it holds.

    Raises:
        AudioError: the file is missing or cannot be used as audio.
    """
    samples, rate = read_audio_native(path)  # (S, channels)
    size = np.abs(samples)
    peak = float(size.max())
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Clip(
        duration_s=len(samples) / rate,
        rate=rate,
        channels=samples.shape[1],
        peak_dbfs=20.0 * float(np.log10(peak)) if peak > 0 else None,
        clipped_share=float(np.mean(size >= FULL_SCALE)),
        bytes_digest=digest,
        # At 16 bits, as audio_digest rounds: 24-bit and float copies of one recording may differ below.
        samples_key=(
            *samples.shape,
            rate,
            int(np.abs(np.rint(samples * 32768.0).clip(-32768, 32767)).sum(dtype=np.float64)),
        ),
    )


def check(manifest: Manifest, *, workers: int = 1, on_done: Callable[[Outcome], None] | None = None) -> Report:
    """Examine every clip of a manifest and how its speakers and categories are split.

    Args:
        manifest: to check.
        workers: processes to decode in; the report does not depend on it.
        on_done: called after each clip.

    Raises:
        InputError: a row has no path.
    """
    paths = manifest.paths()
    outcomes = list(map_tasks(examine, paths, workers=workers, on_done=on_done))
    names = [str(name) for name in manifest.table["file_name"]]
    clips = {name: outcome.value for name, outcome in zip(names, outcomes, strict=True) if outcome.error is None}
    located = dict(zip(names, paths, strict=True))
    splits = _column(manifest, "split", NO_SPLIT)
    split_of = dict(zip(names, splits, strict=True))
    identical = _groups({name: clip.bytes_digest for name, clip in clips.items()})
    same_samples = _same_samples(clips, located)
    votes = manifest.table[[name for name in manifest.table.columns if name.startswith(VOTES)]].fillna(0.0)
    hours = Counter()
    for name, clip in clips.items():
        hours[split_of[name]] += clip.duration_s / 3600.0
    return Report(
        utterances=len(manifest),
        hours=sum(hours.values()),
        rates=_counts(clip.rate for clip in clips.values()),
        channels=_counts(clip.channels for clip in clips.values()),
        categories=_cross(splits, _column(manifest, "emotion", UNLABELLED)) if manifest.has("emotion") else {},
        speakers=_speakers(manifest, splits),
        hours_by_split={split: hours[split] for split in in_order(hours)},
        unknown_speakers=int(manifest.table["speaker"].isna().sum()) if "speaker" in manifest.table else len(manifest),
        unreadable={
            name: str(outcome.error) for name, outcome in zip(names, outcomes, strict=True) if outcome.error is not None
        },
        silent={name: clip.peak_dbfs for name, clip in clips.items() if _is_silent(clip)},
        clipped={name: clip.clipped_share for name, clip in clips.items() if clip.clipped_share >= CLIPPED_SHARE},
        identical=identical,
        same_samples=same_samples,
        crossing=crossing(manifest),
        crossing_audio=[
            group for group in [*identical, *same_samples] if len({split_of[name] for name in group} - {NO_SPLIT}) > 1
        ],
        votes={name.removeprefix(VOTES): float(votes[name].sum()) for name in votes.columns},
        voted=int((votes.sum(axis=1) > 0).sum()),
        attribute_sources=attribute_sources(manifest.table),
    )


def _is_silent(clip: Clip) -> bool:
    return clip.peak_dbfs is None or clip.peak_dbfs < SILENT_PEAK_DBFS


def _groups(key_of: dict[str, Any]) -> list[list[str]]:
    """Return the names that share a key, in groups of two and more, in the order they came."""
    groups: dict[Any, list[str]] = {}
    for name, key in key_of.items():
        groups.setdefault(key, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _same_samples(clips: dict[str, Clip], located: dict[str, Path]) -> list[list[str]]:
    """Return groups of different files that decode to the same samples.

    Only files alike in length, channels, rate and mean size are decoded again for their digest;
    of identical files, one.
    """
    first_of: dict[str, str] = {}
    for name, clip in clips.items():
        first_of.setdefault(clip.bytes_digest, name)
    alike = _groups({name: clips[name].samples_key for name in first_of.values()})
    return _groups({name: (clips[name].rate, audio_digest(located[name])) for group in alike for name in group})


def _column(manifest: Manifest, name: str, missing: str) -> list[str]:
    if name not in manifest.table:
        return [missing] * len(manifest)
    return manifest.table[name].fillna(missing).tolist()


def _speakers(manifest: Manifest, splits: list[str]) -> dict[str, dict[str, int]]:
    if not manifest.has("speaker"):
        return {}
    rows = pd.DataFrame(
        {"split": splits, "sex": _column(manifest, "gender", UNKNOWN), "speaker": manifest.table["speaker"].tolist()}
    )
    rows["corpus"] = _column(manifest, "corpus", "")
    rows = rows.dropna(subset=["speaker"]).drop_duplicates()
    return _cross(rows["split"].tolist(), rows["sex"].tolist())


def _cross(splits: list[str], labels: list[str]) -> dict[str, dict[str, int]]:
    """Return how often each label occurs in each split: the same labels in the same order in every one."""
    counts = Counter(zip(splits, labels, strict=True))
    words = sorted(set(labels), key=lambda word: (word in (UNLABELLED, UNKNOWN), word))
    return {split: {word: counts[split, word] for word in words} for split in in_order(set(splits))}


def _counts(values: Any) -> dict[int, int]:
    return dict(sorted(Counter(values).items()))
