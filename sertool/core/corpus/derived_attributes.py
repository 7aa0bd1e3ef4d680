"""Derived attributes: arousal, dominance and valence from the emotion word, where a corpus has only categories.

The numbers are the published means of the emotion words (Russell & Mehrabian, J. Research in Personality 1977), whose
pleasure is our valence. Every utterance of a category gets the same three, so a CCC against them is really a score of
categories: it says how well categories are told apart along an attribute, nothing of how a listener would rate the
utterance. Wherever they go, the column `attributes_source` says what they are.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa

from sertool.core.corpus.categories import UNLABELLED
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.tables import ATTRIBUTES
from sertool.core.errors import InputError

SOURCE_COLUMN = "attributes_source"
"""Where the attributes of a row come from; null where people rated them, or there are none."""

DERIVED = "derived from the category (Russell & Mehrabian 1977)"
MOVED = f"{DERIVED}, arousal moved by intensity"
RATED = "rated"
"""What attributes are called whose source is not told: the corpus's own."""

NORMS: dict[str, tuple[float, float, float]] = {
    "anger": (-0.51, 0.59, 0.25),
    "disgust": (-0.60, 0.35, 0.11),
    "fear": (-0.64, 0.60, -0.43),
    "happiness": (0.81, 0.51, 0.46),
    "sadness": (-0.63, -0.27, -0.33),
    "surprise": (0.40, 0.67, -0.13),
    "neutral": (0.0, 0.0, 0.0),
    "calm": (0.68, -0.46, 0.06),
    "boredom": (-0.65, -0.62, -0.33),
}
"""Pleasure, arousal and dominance of a category, from -1 to 1, as published for angry, disgusted, fearful, happy, sad,
surprised and bored. Ours: calm takes the numbers of relaxed, and neutral is 0 0 0."""

INTENSITY = "intensity"
AROUSAL_OF_INTENSITY = {"normal": -0.15, "strong": 0.15}
"""What an intensity adds to the norm's arousal, on its scale from -1 to 1. Ours: nobody has published such a number."""

MOST_SOURCES, LONGEST_SOURCE = 5, 200
"""How many sources are named, and in how many characters: a stranger's table may hold any text there."""


@dataclass(frozen=True)
class Derived:
    """A manifest with derived attributes, and what a user should be told of them.

    Attributes:
        manifest: with the attributes (1–7) and `attributes_source`, all null where a category has no norm.
        without_norm: utterances of such categories, by category; `unlabelled` has none.
        notes: sentences.
    """

    manifest: Manifest
    without_norm: dict[str, int]
    notes: list[str] = field(default_factory=list)


def derivation(*, by_category: bool, by_intensity: bool) -> Callable[[Manifest], Derived] | None:
    """Return what derives attributes as a user asks for it, or None.

    Raises:
        InputError: intensity is to move arousal that is not derived.
    """
    if by_intensity and not by_category:
        raise InputError(
            "--arousal-by-intensity says nothing without --derive-attributes; expected both or neither: add "
            "--derive-attributes"
        )
    if not by_category:
        return None
    return derive_with_intensity if by_intensity else derive_attributes


def derive_attributes(manifest: Manifest) -> Derived:
    """Give every utterance the arousal, dominance and valence of its category: 4 + 3x, where x is the norm.

    Args:
        manifest: with canonical categories; attributes derived earlier are derived anew.

    Raises:
        InputError: there are rated attributes, which must not be mixed with derived ones, or no category has a norm.
    """
    _check_none_rated(manifest)
    manifest.require("emotion")
    emotion = manifest.table["emotion"]
    has_norm = emotion.isin(list(NORMS))
    counts = emotion[~has_norm].fillna(UNLABELLED).value_counts()
    without = {str(word): int(count) for word, count in sorted(counts.items())}
    if not has_norm.any():
        raise InputError(
            f"no category has a norm to derive attributes from, found: {_listed(without)}; expected some of "
            f"{', '.join(NORMS)}: map the categories with --map, or leave --derive-attributes out"
        )
    valence, arousal, dominance = ({word: on_scale(norm[i]) for word, norm in NORMS.items()} for i in range(3))
    table = manifest.table.drop(columns=[name for name in (*ATTRIBUTES, SOURCE_COLUMN) if name in manifest.table])
    table = table.assign(
        arousal=_mapped(emotion, arousal),
        dominance=_mapped(emotion, dominance),
        valence=_mapped(emotion, valence),
        **{SOURCE_COLUMN: _texts(emotion.map(dict.fromkeys(NORMS, DERIVED)))},
    )
    notes = [f"{int(has_norm.sum())} utterances have attributes {DERIVED}, all of a category the same"]
    if without:
        notes.append(f"no norm for these categories, attributes left empty: {_listed(without)}")
    return Derived(Manifest.from_table(table, manifest.folder, path=manifest.path), without, notes)


def derive_with_intensity(manifest: Manifest) -> Derived:
    """Derive attributes from the category, with more arousal where speech is strong and less where it is normal.

    Ours: by 0.15 on the norm's scale from -1 to 1, held within it. Neutral, which RAVDESS has in normal intensity only,
    stays at its norm; so does an utterance whose intensity is not known, and is counted in a note.

    Args:
        manifest: as for `derive_attributes`, with a column `intensity` of normal and strong, as RAVDESS has it.

    Raises:
        InputError: there is no such column, or another word in it; or see `derive_attributes`.
    """
    derived = derive_attributes(manifest)
    table = derived.manifest.table
    steps = _intensity_steps(manifest)
    known = steps.notna() & table[SOURCE_COLUMN].notna()
    norms = _mapped(table["emotion"], {word: norm[1] for word, norm in NORMS.items()})
    moves = known & (table["emotion"] != "neutral")
    moved = on_scale((norms + steps).clip(-1.0, 1.0))
    table = table.assign(
        arousal=table["arousal"].astype("float64").where(~moves, moved),
        **{SOURCE_COLUMN: _texts(table[SOURCE_COLUMN].astype(object).where(~moves, MOVED))},
    )
    notes = [*derived.notes, f"arousal moved by intensity, up or down by 0.15 of the norm's scale: {int(moves.sum())}"]
    unknown = int((table[SOURCE_COLUMN].notna() & ~known).sum())
    if unknown:
        notes.append(f"intensity not known, arousal left at the norm: {unknown}")
    return Derived(Manifest.from_table(table, manifest.folder, path=manifest.path), derived.without_norm, notes)


def on_scale(norm: float | pd.Series) -> float | pd.Series:
    """Return a norm from -1 to 1 on the scale of attributes, 4 + 3x, to the two decimals norms have."""
    return round(4.0 + 3.0 * norm, 2)


def are_derived(manifest: Manifest) -> bool:
    """Return whether the attributes of any row are derived rather than rated."""
    if not manifest.has(SOURCE_COLUMN):
        return False
    return any(_is_derived(text) for text in manifest.table[SOURCE_COLUMN].dropna().unique())


def attribute_sources(table: pd.DataFrame, attributes: Sequence[str] = ATTRIBUTES) -> dict[str, int]:
    """Return how many rows have any of these attributes, by what they come from: "rated" first, the others by name."""
    present = [name for name in attributes if name in table.columns]
    rows = table[table[present].notna().any(axis=1).to_numpy(bool)] if present else table[:0]
    if SOURCE_COLUMN in table.columns:
        sources = rows[SOURCE_COLUMN].astype(object)
        sources = sources.where(sources.notna(), RATED)
    else:
        sources = pd.Series(RATED, index=rows.index, dtype=object)
    return _in_order({str(text): int(count) for text, count in sources.value_counts().items()})


def joint_sources(manifests: Iterable[Manifest], attributes: Sequence[str] = ATTRIBUTES) -> dict[str, int]:
    """Return the same of several manifests together."""
    counts: Counter[str] = Counter()
    for manifest in manifests:
        counts.update(attribute_sources(manifest.table, attributes))
    return _in_order(counts)


def sources_in_words(sources: dict[str, int]) -> str | None:
    """Return in one line where attributes come from, with counts where from several places; None where there are none.

    Args:
        sources: from `attribute_sources`.
    """
    if not sources:
        return None
    if len(sources) == 1:
        return next(iter(sources))[:LONGEST_SOURCE]
    listed = [f"{text[:LONGEST_SOURCE]}: {count}" for text, count in list(sources.items())[:MOST_SOURCES]]
    return "; ".join(listed) + (f"; and {len(sources) - MOST_SOURCES} more" if len(sources) > MOST_SOURCES else "")


def label(sources: dict[str, int]) -> str:
    """Return what stands beside the name of an attribute: "derived", "partly derived", or nothing.

    Args:
        sources: from `attribute_sources`.
    """
    derived = [_is_derived(text) for text in sources]
    if not any(derived):
        return ""
    return "derived" if all(derived) else "partly derived"


def caveat(sources: dict[str, int]) -> str | None:
    """Return in a sentence what must be known of scores on these attributes; None where none is derived.

    Args:
        sources: from `attribute_sources`.
    """
    if not label(sources):
        return None
    words = sources_in_words(sources)
    if label(sources) == "partly derived":
        told = f"Some attributes are derived ({words}): those are"
    elif len(sources) > 1:
        told = f"The attributes are derived ({words}):"
    else:
        told = f"The attributes are {words}:"
    alike = "category and intensity" if MOVED in sources else "category"
    return (
        f"{told} the same for all utterances of a {alike}, so that a CCC against them is really a score of categories."
    )


def _in_order(counts: Mapping[str, int]) -> dict[str, int]:
    return {text: counts[text] for text in sorted(counts, key=lambda text: (text != RATED, text))}


def _is_derived(text: object) -> bool:
    """Return whether a source, perhaps of another tool's norms, is a derivation."""
    return str(text).strip().lower().startswith("derived")


def _check_none_rated(manifest: Manifest) -> None:
    rated = sum(count for text, count in attribute_sources(manifest.table).items() if not _is_derived(text))
    if rated:
        names = ", ".join(name for name in ATTRIBUTES if manifest.has(name))
        raise InputError(
            f"{rated} utterances have attributes of the corpus's own ({names}); expected none, since rated and derived "
            "ones must not be mixed: leave --derive-attributes out"
        )


def _intensity_steps(manifest: Manifest) -> pd.Series:
    """Return what each row's intensity adds to arousal, NaN where it is not known."""
    if not manifest.has(INTENSITY):
        raise InputError(
            "the corpus tells no intensity to move arousal by; expected a column 'intensity' of "
            f"{' and '.join(AROUSAL_OF_INTENSITY)}, as RAVDESS has it: leave --arousal-by-intensity out"
        )
    words = manifest.table[INTENSITY].astype("string[pyarrow]").str.strip().str.lower()
    strange = words.notna() & ~words.isin([*AROUSAL_OF_INTENSITY, ""])
    if strange.any():
        row = int(strange.to_numpy(bool).argmax())
        raise InputError(
            f"{manifest.table['file_name'].iloc[row]}: its intensity is '{words.iloc[row][:40]}'; expected "
            f"{' or '.join(AROUSAL_OF_INTENSITY)}: correct it, or leave --arousal-by-intensity out"
        )
    return _mapped(words, AROUSAL_OF_INTENSITY)


def _mapped(words: pd.Series, numbers: dict[str, float]) -> pd.Series:
    return words.astype(object).map(numbers).astype("float64")


def _texts(values: pd.Series) -> pd.Series:
    return values.astype(pd.ArrowDtype(pa.string()))


def _listed(counts: dict[str, int]) -> str:
    listed = [f"{word} {count}" for word, count in list(counts.items())[:20]]
    return ", ".join(listed) + (f" and {len(counts) - 20} more" if len(counts) > 20 else "")
