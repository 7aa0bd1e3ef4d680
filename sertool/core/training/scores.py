"""A table of scores, as `sertool score-curriculum` writes it, read for the utterances a training learns from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sertool.core.corpus.batches import Utterances
from sertool.core.corpus.manifest import Manifest
from sertool.core.errors import InputError
from sertool.core.randomness import generator_for
from sertool.core.training.recipe import Recipe
from sertool.core.training.run import open_run

UNNAMED = "a score without a name"


@dataclass(frozen=True)
class Scores:
    """How easy the training utterances are.

    Attributes:
        order: the training utterances, easiest first, int64, (N,).
        metric: what the scores measure, as the table names it.
        target: what they were made for, such as `emotion` or `arousal (derived)`; empty where the table does not say.
        others: rows of the table that are about no training utterance.
        made_with: the run whose model the scores follow; empty where they follow none, or the table does not say.
    """

    order: np.ndarray
    metric: str
    target: str
    others: int
    made_with: str = ""

    @property
    def title(self) -> str:
        """What the scores are, in a few words."""
        return f"{self.metric} for {self.target}" if self.target else self.metric


def curriculum_scores(recipe: Recipe, train: Utterances, notes: list[str]) -> Scores | None:
    """Return the scores a recipe's curriculum goes by; None where it goes by none.

    Args:
        recipe: of the run.
        train: its training split.
        notes: what a user should know is added here.

    Raises:
        InputError: scores are named where none are wanted, or the other way about, or cannot be used; or the model's
            own loss is to be gone by, and an utterance has none.
    """
    settings = recipe.curriculum
    if settings is None:
        return None
    if settings.order == "self-paced":
        _check_self_paced(recipe, train)
        return None
    if settings.scores is None:
        if settings.order == "none":
            return None
        raise InputError(
            f"curriculum.order is {settings.order} and no scores are named; expected a table of them: name it with "
            "--curriculum, and make it with `sertool score-curriculum`"
        )
    scores = read_scores(settings.scores, train.paths, seed=recipe.seed)
    if scores.others:
        notes.append(f"{settings.scores}: {scores.others} scores are of no training utterance and do not count")
    return scores


def heard_by(scores: Scores | None, notes: list[str]) -> frozenset[str]:
    """Return digests of the audio that the run behind the scores learned from, as a training by them does in turn.

    Args:
        scores: of a curriculum, if it goes by any.
        notes: where the run is not there any more, that is added here.
    """
    if scores is None or not scores.made_with:
        return frozenset()
    try:
        return open_run(scores.made_with).seen_audio
    except InputError as error:
        notes.append(f"what the run behind the scores has heard is not known, test speech may be among it ({error})")
        return frozenset()


def _check_self_paced(recipe: Recipe, train: Utterances) -> None:
    if recipe.curriculum.scores is not None:
        raise InputError(
            "curriculum.order is self-paced, which makes scores of its own, and curriculum.scores is named too; "
            "expected one: set curriculum.scores=null, or another order"
        )
    if "emotion" not in recipe.tasks:
        raise InputError(
            "curriculum.order is self-paced, which goes by the emotion loss, and the recipe has no emotion task; "
            "expected it: add the task, or choose another order"
        )
    known = (train.labels >= 0) | (train.vote_shares.sum(1) > 0) | (~np.isnan(train.attributes)).any(1)
    if not known.all():
        raise InputError(
            f"{(~known).sum()} training utterances have no label, such as {train.paths[np.argmin(known)]}; expected "
            "one of each for a self-paced curriculum: leave them out, or choose another order"
        )


def read_scores(path: Path | str, utterances: Sequence[str], *, seed: int) -> Scores:
    """Read the scores of utterances.

    Args:
        path: a table with `file_name` (the rule of manifests) and `score`, higher is easier; maybe `rank`, 0 for the
            easiest, which decides among equal scores; `metric`; and `target`.
        utterances: their absolute paths, as a manifest gives them, (N,).
        seed: decides among equal scores in a table without ranks.

    Raises:
        InputError: the table cannot be read, lists a file twice, lacks an utterance, or is of several metrics; or a
            score or rank is no number.
    """
    table = Manifest.read(path, require=["score"])
    rows = _rows_of(table, utterances)
    scores = _numbers(table, "score", rows)
    if table.has("rank"):
        ties = _numbers(table, "rank", rows)
    else:
        ties = generator_for("ties of scores", seed).permutation(len(rows))
    return Scores(
        order=np.lexsort((ties, -scores)),
        metric=_only_word(table, "metric", rows)[:200] or UNNAMED,
        target=_only_word(table, "target", rows)[:200],
        others=len(table) - len(np.unique(rows)),
        made_with=_only_word(table, "made_with", rows),
    )


def _rows_of(table: Manifest, utterances: Sequence[str]) -> np.ndarray:
    """Return the row of each utterance, (N,)."""
    row_of = {str(path): row for row, path in enumerate(table.paths())}
    rows = np.array([row_of.get(path, -1) for path in utterances], dtype=np.int64)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        raise InputError(
            f"{table.name}: has no score of {len(missing)} of {len(rows)} training utterances, such as "
            f"{utterances[missing[0]]}; expected one of each: score this split with `sertool score-curriculum`, and "
            "leave out of the manifest what it leaves out"
        )
    return rows


def _numbers(table: Manifest, column: str, rows: np.ndarray) -> np.ndarray:
    values = pd.to_numeric(table.table[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)[rows]
    odd = np.flatnonzero(~np.isfinite(values))
    if len(odd):
        row = int(rows[odd[0]])
        raise InputError(
            f"{table.name}: row {row + 1}: '{column}' is '{str(table.table[column].iloc[row])[:40]}'; expected a "
            "finite number: score again"
        )
    return values


def _only_word(table: Manifest, column: str, rows: np.ndarray) -> str:
    """Return what a column says in all of these rows; an empty word where it is not there, or says nothing."""
    if not table.has(column):
        return ""
    found = sorted({str(word) for word in table.table[column].iloc[rows].dropna().unique()})
    if len(found) > 1:
        raise InputError(
            f"{table.name}: its column '{column}' says '{found[0][:40]}' and '{found[1][:40]}'; expected the same in "
            "every row: keep the scores of one metric and target"
        )
    return "".join(letter if letter.isprintable() else " " for letter in found[0]) if found else ""
