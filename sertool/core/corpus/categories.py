"""Categories: one vocabulary of emotion classes, the words corpora use for them, and choosing those a model knows."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import pandas as pd
import pyarrow as pa

from sertool.core.corpus.manifest import Manifest
from sertool.core.errors import InputError

SYNONYMS: dict[str, tuple[str, ...]] = {
    "anger": ("angry", "angered"),
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid", "scared", "anxious", "anxiety"),
    "happiness": ("happy", "joy", "joyful"),
    "sadness": ("sad",),
    "surprise": ("surprised",),
    "neutral": ("neutrality",),
    "calm": ("calmness",),
    "boredom": ("bored",),
    "contempt": ("contemptuous",),
    "excitement": ("excited",),
    "frustration": ("frustrated",),
}
"""The vocabulary, and for each category the other words corpora use for it."""

CATEGORIES: tuple[str, ...] = tuple(SYNONYMS)
"""The canonical categories."""

VOTES = "votes_"
"""How columns that count the annotators who chose a category begin; the category follows."""

UNLABELLED = "unlabelled"
"""What utterances without a category are counted as."""

_CANONICAL = {word: category for category, words in SYNONYMS.items() for word in (category, *words)}


def canonical(word: str) -> str | None:
    """Return the canonical category a word means, whatever its case; None for a word the vocabulary lacks."""
    return _CANONICAL.get(word.strip().lower())


def parse_map(entries: Iterable[str]) -> dict[str, str | None]:
    """Read what `--map` was given.

    Args:
        entries: `word=category` each. `foo=foo` lets a category of one's own pass; `foo=` leaves those utterances
            unlabelled.

    Returns:
        The category of each word, None for unlabelled; words in lower case.

    Raises:
        InputError: an entry has no '=', a word is given twice, or a category is unknown and not mapped to itself.
    """
    mapping: dict[str, str | None] = {}
    for entry in entries:
        word, equals, target = (part.strip().lower() for part in entry.partition("="))
        if not word or not equals:
            raise InputError(f"--map '{entry}': expected WORD=CATEGORY, such as excited=happiness: write it like that")
        if mapping.setdefault(word, target or None) != (target or None):
            raise InputError(
                f"--map '{entry}': '{word}' is mapped to '{mapping[word]}' already; expected one category: drop one"
            )
    return {word: _target(word, target, mapping) for word, target in mapping.items()}


def _target(word: str, target: str | None, mapping: Mapping[str, str | None]) -> str | None:
    if target is None or target == word or mapping.get(target) == target:
        return target
    category = canonical(target)
    if category is None:
        raise InputError(
            f"--map {word}={target}: '{target}' is no category{_nearest(target)}; expected one of "
            f"{', '.join(CATEGORIES)}: correct it, or add --map {target}={target} to keep a category of your own"
        )
    return category


def map_categories(labels: pd.Series, mapping: Mapping[str, str | None] | None = None) -> pd.Series:
    """Return labels in the canonical vocabulary.

    A word's own entry in `mapping` comes first, then the entry of the category it means, then the vocabulary.

    Args:
        labels: a corpus's own words, (n,), null where unlabelled.
        mapping: from `parse_map`.

    Returns:
        Categories, (n,), Arrow strings, null where unlabelled.

    Raises:
        InputError: a word is neither in the vocabulary nor mapped; the message suggests the nearest category.
    """
    mapping = mapping or {}
    by_category = {canonical(word): target for word, target in mapping.items() if canonical(word)}
    words = labels.astype("string[pyarrow]").str.strip().str.lower()
    meaning: dict[str, str | None] = {}
    unknown: list[str] = []
    for word in words.dropna().unique():
        category = canonical(word)
        if word in mapping:
            meaning[word] = mapping[word]
        elif category is None:
            unknown.append(word)
        else:
            meaning[word] = by_category.get(category, category)
    if unknown:
        raise _unknown_words(sorted(unknown))
    return words.map(meaning).astype(pd.ArrowDtype(pa.string()))


def map_votes(table: pd.DataFrame, mapping: Mapping[str, str | None] | None = None) -> pd.DataFrame:
    """Return a table whose columns `votes_<word>` are called for canonical categories, mapped as `map_categories` does.

    Votes for words that are mapped to one category are added up; those for a word mapped to none are dropped. A word
    the vocabulary lacks, such as other, keeps its column unless it is mapped.

    Args:
        table: any columns; votes are numbers, null where a clip was not voted on.
        mapping: from `parse_map`.

    Returns:
        The table, `votes_<category>` where the first word of the category stood.
    """
    columns = [name for name in table.columns if str(name).startswith(VOTES)]
    words = pd.Series([name.removeprefix(VOTES).strip().lower() for name in columns], dtype="object")
    own = {word: word for word in words if canonical(word) is None}
    target = dict(zip(columns, map_categories(words, {**own, **(mapping or {})}), strict=True))
    if all(not pd.isna(target[name]) and f"{VOTES}{target[name]}" == name for name in columns):
        return table
    found: dict[str, pd.Series] = {}
    for name in table.columns:
        if name not in target:
            found[name] = table[name]
        elif not pd.isna(target[name]):
            column = f"{VOTES}{target[name]}"
            votes = pd.to_numeric(table[name])
            found[column] = found[column].add(votes, fill_value=0.0) if column in found else votes
    mapped = pd.DataFrame(found, index=table.index)
    mapped.attrs = table.attrs
    return mapped


def unused_words(labels: pd.Series, mapping: Mapping[str, str | None]) -> list[str]:
    """Return the words of a map that no label bears, so that a misspelt `--map` does not pass unnoticed."""
    found = {str(word).strip().lower() for word in labels.dropna().unique()}
    means = {canonical(word) for word in found} - {None}
    return sorted(word for word in mapping if word not in found and canonical(word) not in means)


def select_categories(
    manifest: Manifest, known: Sequence[str], *, on_unknown: Literal["exclude", "error"]
) -> tuple[Manifest, dict[str, int]]:
    """Keep the utterances whose category a model knows.

    Args:
        manifest: must have the column `emotion`.
        known: the model's categories.
        on_unknown: what an utterance of another category means. One without a category is always left out and counted.

    Returns:
        The utterances kept, and how many of each category were left out (`unlabelled`: without one).

    Raises:
        InputError: the column is missing, a category is unknown and `on_unknown` is "error", or nothing is left.
    """
    manifest.require("emotion")
    emotion = manifest.table["emotion"]
    counts = emotion[~emotion.isin(list(known))].fillna(UNLABELLED).value_counts()
    excluded = {str(word): int(count) for word, count in sorted(counts.items())}
    strangers = [word for word in excluded if word != UNLABELLED]
    if strangers and on_unknown == "error":
        raise InputError(
            f"{manifest.name}: {excluded[strangers[0]]} utterances are labelled '{strangers[0]}'"
            f"{_nearest(strangers[0], known)}; the model knows {', '.join(known)}: "
            "map the category, or leave these utterances out"
        )
    kept = manifest.where(emotion.isin(list(known)))
    if not len(kept):
        found = ", ".join(excluded)
        raise InputError(
            f"{manifest.name}: labels found: {found}; expected some of {', '.join(known)}: map or label them"
        )
    return kept, excluded


def _nearest(word: str, categories: Sequence[str] = CATEGORIES) -> str:
    """Return ' (nearest: …)' with the category most like a word, or nothing when none is."""
    spelt = {name: category for name, category in _CANONICAL.items() if category in categories} | {
        name: name for name in categories
    }
    close = difflib.get_close_matches(word, spelt, n=1, cutoff=0.5)
    return f" (nearest: {spelt[close[0]]})" if close else ""


def _unknown_words(unknown: list[str]) -> InputError:
    named = ", ".join(f"'{word}'{_nearest(word)}" for word in unknown[:8]) + (" …" if len(unknown) > 8 else "")
    return InputError(
        f"unknown category {named}; expected one of {', '.join(CATEGORIES)}: give --map {unknown[0]}=CATEGORY, "
        f"--map {unknown[0]}={unknown[0]} to keep it as it is, or --map {unknown[0]}= to leave those unlabelled"
    )
