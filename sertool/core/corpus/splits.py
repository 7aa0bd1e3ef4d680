"""Splits by speaker: no speaker is heard in two of train, dev and test."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from sertool.core.corpus.manifest import Manifest
from sertool.core.errors import InputError

TRAIN, DEV, TEST = "train", "dev", "test"
SPLIT_WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "dev": DEV,
    "val": DEV,
    "valid": DEV,
    "validation": DEV,
    "development": DEV,
    "test": TEST,
    "testing": TEST,
}
"""The words others use for a split, and ours."""

SPLIT_ANEW = "split by speaker with 'sertool corpus ... --folds'"


@dataclass(frozen=True)
class Protocol:
    """How a corpus is published to be split.

    Attributes:
        folds: number of published folds; None where there are none.
        fold_of: the published fold of a speaker, 0 … folds-1.
        test: speakers of the published single test split; () where fold 0 is the default.
        dev: speakers of its dev split.
        remedy: what to do where the split in the corpus's own table shares speakers; "" says how to deal anew.
    """

    folds: int | None = None
    fold_of: Callable[[str], int] | None = None
    test: tuple[str, ...] = ()
    dev: tuple[str, ...] = ()
    remedy: str = ""


@dataclass(frozen=True)
class SplitChoice:
    """What the user asked for: folds by number, or speakers by name; nothing means the corpus's own protocol.

    Attributes:
        folds: how many folds the speakers are dealt to.
        fold: which of them is the test split, counted from 0.
        seed: of the deal; published folds do not depend on it.
        test: speakers of the test split.
        dev: speakers of the dev split.
    """

    folds: int | None = None
    fold: int | None = None
    seed: int = 0
    test: tuple[str, ...] = ()
    dev: tuple[str, ...] = ()

    @property
    def asked(self) -> bool:
        """Whether the user asked for anything."""
        return self.folds is not None or self.fold is not None or bool(self.test or self.dev)

    def __post_init__(self) -> None:
        if (self.test or self.dev) and (self.folds is not None or self.fold is not None):
            raise InputError(
                "both folds and speakers were named; expected one way to split: drop --folds or the speakers"
            )


def deal(speakers: Iterable[str], gender: Mapping[str, str | None], *, folds: int, seed: int = 0) -> dict[str, int]:
    """Deal speakers to folds, each sex round-robin in an order drawn from the seed.

    The next sex begins at the fold after the last one dealt to, so that the sizes of two folds differ by one speaker at
    most, in all and within a sex.

    Args:
        speakers: names; order and repetition do not matter.
        gender: of each speaker where known.
        folds: at least 3, at most as many as speakers.
        seed: of the order.

    Returns:
        The fold of each speaker, 0 … folds-1.

    Raises:
        InputError: fewer than 3 folds, or fewer speakers than folds.
    """
    names = sorted(set(speakers))
    _check_folds(folds, len(names))
    by_sex: dict[str, list[str]] = {}
    for name in names:
        by_sex.setdefault(gender.get(name) or "", []).append(name)
    generator = np.random.default_rng(seed)
    order = [sex_names[i] for _, sex_names in sorted(by_sex.items()) for i in generator.permutation(len(sex_names))]
    return {name: place % folds for place, name in enumerate(order)}


def by_fold(fold_of: Mapping[str, int], *, folds: int, fold: int) -> dict[str, str]:
    """Return each speaker's split: fold `fold` is test, the next one (cyclically) dev, the others train.

    Raises:
        InputError: there is no such fold.
    """
    if not 0 <= fold < folds:
        raise InputError(
            f"--fold {fold}: expected 0 to {folds - 1}, since there are {folds} folds: choose one of these"
        )
    place = {fold: TEST, (fold + 1) % folds: DEV}
    return {speaker: place.get(number, TRAIN) for speaker, number in fold_of.items()}


def assign(
    speakers: Iterable[str], gender: Mapping[str, str | None], *, folds: int, fold: int, seed: int = 0
) -> dict[str, str]:
    """Return each speaker's split after dealing them to folds: see `deal` and `by_fold`."""
    return by_fold(deal(speakers, gender, folds=folds, seed=seed), folds=folds, fold=fold)


def by_name(speakers: Iterable[str], *, test: Sequence[str], dev: Sequence[str]) -> dict[str, str]:
    """Return each speaker's split where those of test and dev are named; the others are train.

    Raises:
        InputError: a speaker is not in the corpus, is named for both, or nobody is left to train on.
    """
    names = sorted(set(speakers))
    strangers = sorted({*test, *dev} - set(names))
    if strangers:
        found = ", ".join(names[:30]) + (" …" if len(names) > 30 else "")
        raise InputError(
            f"no utterance is by speaker '{strangers[0]}'; speakers found: {found or 'none'}: name some of these"
        )
    both = sorted(set(test) & set(dev))
    if both:
        raise InputError(f"speaker '{both[0]}' is named for test and for dev; expected one split a speaker: drop one")
    if not set(names) - {*test, *dev}:
        raise InputError("every speaker is named for test or dev; expected at least one to train on: name fewer")
    return {name: TEST if name in test else DEV if name in dev else TRAIN for name in names}


def choose(
    speakers: Iterable[str], gender: Mapping[str, str | None], choice: SplitChoice, protocol: Protocol
) -> dict[str, str] | None:
    """Return each speaker's split as the user asks, or else as the corpus is published to be split.

    Published folds are used when the number of folds asked for is theirs; any other number is dealt anew.

    Returns:
        The split of each speaker, or None when neither the user nor the corpus says how to split.

    Raises:
        InputError: the choice cannot be met; see `deal`, `by_fold` and `by_name`.
    """
    names = sorted(set(speakers))
    if choice.test or choice.dev:
        return by_name(names, test=choice.test, dev=choice.dev)
    if choice.folds is None and choice.fold is None and protocol.test:
        return _published(names, protocol)
    folds = protocol.folds if choice.folds is None else choice.folds
    if folds is None:
        if choice.fold is None:
            return None
        raise InputError(f"--fold {choice.fold} says which fold, but not of how many: add --folds")
    fold = 0 if choice.fold is None else choice.fold
    if folds == protocol.folds and protocol.fold_of is not None:
        return by_fold({name: protocol.fold_of(name) for name in names}, folds=folds, fold=fold)
    return assign(names, gender, folds=folds, fold=fold, seed=choice.seed)


def _published(names: list[str], protocol: Protocol) -> dict[str, str]:
    """Return the published single split of the speakers that are there, which may be a part of the corpus."""
    if not set(names) - {*protocol.test, *protocol.dev}:
        raise InputError(
            f"speakers found: {', '.join(names) or 'none'}, all of the published test or dev split; expected some to "
            "train on: get the whole corpus, or name --test-speakers and --dev-speakers"
        )
    test, dev = ([name for name in names if name in part] for part in (protocol.test, protocol.dev))
    return by_name(names, test=test, dev=dev)


def split_column(speakers: pd.Series, split_of: Mapping[str, str]) -> pd.Series:
    """Return the split of every utterance (n,); one by an unknown speaker is for training only.

    Who an unknown speaker is cannot be told, so no fold may test on one: they might have been heard in training.
    """
    return speakers.map(dict(split_of)).fillna(TRAIN).astype(pd.ArrowDtype(pa.string()))


def kept_in_one_split(speakers: pd.Series, splits: pd.Series) -> pd.Series:
    """Return which utterances to keep so that no known speaker is in two splits, and the tests are touched least.

    A speaker stays in the first of test, test2 … (by name), dev and train that he or she is in. Unknown speakers, and
    utterances in no split, stay.

    Args:
        speakers: of each utterance, (n,), null where unknown.
        splits: of each utterance, (n,), same index, null for none.

    Returns:
        Booleans, (n,), same index.
    """
    order = sorted(splits.dropna().unique(), key=lambda split: ({DEV: 1, TRAIN: 2}.get(split, 0), split))
    rank = splits.map({split: place for place, split in enumerate(order)}).astype("float64")
    first = rank.groupby(speakers).transform("min")
    return (rank == first) | speakers.isna() | splits.isna()


def in_order(splits: Iterable[str]) -> list[str]:
    """Return splits in the order people expect: train, dev, test, then others by name."""
    order = {TRAIN: 0, DEV: 1, TEST: 2}
    return sorted(splits, key=lambda split: (order.get(split, 3), split))


def crossing(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """Return the speakers found in more than one split, with their splits.

    Speakers of the same name in different corpora (column `corpus`) are different people. Unknown speakers, and
    utterances in no split, are no leak.
    """
    if not (manifest.has("speaker") and manifest.has("split")):
        return {}
    several_corpora = manifest.has("corpus") and manifest.table["corpus"].nunique(dropna=False) > 1
    keys = ["corpus", "speaker"] if several_corpora else ["speaker"]
    rows = manifest.table[[*keys, "split"]].dropna(subset=["speaker", "split"]).drop_duplicates()
    several = rows[rows.duplicated(keys, keep=False)]
    found: dict[str, tuple[str, ...]] = {}
    for key, group in several.groupby(keys, dropna=False, sort=True):
        corpus = f" of {key[0]}" if several_corpora and not pd.isna(key[0]) else ""
        found[f"{key[-1]}{corpus}"] = tuple(sorted(group["split"]))
    return found


def check_disjoint(manifest: Manifest, *, remedy: str = "") -> None:
    """Check that no speaker is in two splits.

    Args:
        manifest: to check.
        remedy: what the message says to do, where dealing the speakers to folds is not all there is.

    Raises:
        InputError: one is; the message names up to five such speakers.
    """
    leaks = crossing(manifest)
    if leaks:
        named = "; ".join(
            f"speaker '{speaker}' is in {' and '.join(splits)}" for speaker, splits in list(leaks.items())[:5]
        )
        more = f"; and {len(leaks) - 5} more" if len(leaks) > 5 else ""
        raise InputError(f"{manifest.name}: {named}{more}; expected each speaker in one split: {remedy or SPLIT_ANEW}")


def _check_folds(folds: int, speakers: int) -> None:
    if folds < 3:
        raise InputError(f"--folds {folds}: expected at least 3, one each for test, dev and train: ask for more")
    if speakers < folds:
        raise InputError(
            f"--folds {folds}: there are {speakers} known speakers; expected at least as many as folds: ask for fewer"
        )
