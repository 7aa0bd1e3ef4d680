"""Evaluation by SNR: how well a model hears emotion, and how much better speech sounds after it, in noise and clean."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import SilentNoiseError
from sertool.core.engine import default_workers, map_tasks
from sertool.core.errors import CacheError, InputError
from sertool.core.evaluation.cache import CacheWriter
from sertool.core.evaluation.enhancer import CommandEnhancer, RunEnhancer
from sertool.core.evaluation.journal import Journal, digest_inputs
from sertool.core.evaluation.judging import judge_utterance, open_judge
from sertool.core.evaluation.leaks import find_seen, refuse_heard_noise, refuse_seen, run_of
from sertool.core.evaluation.protocol import Protocol
from sertool.core.evaluation.provenance import describe
from sertool.core.evaluation.results import Results, tabulate
from sertool.core.evaluation.scores import Subject, duration_notes, score_by, score_conditions, unscored_notes
from sertool.core.evaluation.selection import Chosen, choose
from sertool.core.evaluation.stored import stored_scores
from sertool.core.evaluation.stress_scores import score_stress
from sertool.core.evaluation.system import System
from sertool.core.evaluation.utterance import Utterance
from sertool.core.models.inference import load
from sertool.core.models.recognizer import Recognizer

_SIGNALS_A_WORKER = 32
"""Fewer are judged sooner than another process has loaded what it needs (ours: some seconds of work)."""


@dataclass(frozen=True)
class Evaluation:
    """An evaluation whose inputs have been checked and which only has to be run.

    Attributes:
        protocol: how.
        system: what is judged.
        utterances: on what.
        subject: what is scored.
        provenance: what results say of their origin.
        notes: what a reader of the scores must know.
    """

    protocol: Protocol
    system: System
    utterances: tuple[Utterance, ...]
    subject: Subject
    provenance: dict[str, Any]
    notes: tuple[str, ...]

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Digests of all that decides the outcomes, by which a journal knows its evaluation."""
        return digest_inputs(self.protocol, self.utterances, self.provenance)

    def run(
        self, *, workers: int | None = 1, on_done: Callable[[], None] | None = None, journal: Journal | None = None
    ) -> Results:
        """Judge every utterance, each by itself, and score; the numbers do not depend on the worker count.

        Args:
            workers: processes; each loads the model once. None for one a core, or fewer where there is little to judge.
            on_done: called whenever an utterance is done with.
            journal: what has been judged before, and where to note what is judged now, see `open_journal`.

        Raises:
            OutputError: the journal cannot be written, as on a full disk.
            CacheError: the cache cannot be used.
            InputError: not one utterance could be judged.
            SilentNoiseError: nothing in the noise is audible.
        """
        judged, failures = self._judge(workers, on_done, journal)
        if not judged:
            raise InputError(f"none of the {len(failures)} utterances could be evaluated; the first: {failures[0]}")
        rows = [row for place in sorted(judged) for row in judged[place]]
        table = tabulate([row for row in rows if "stress" not in row], drawn=self.protocol.snr is None)
        conditions = score_conditions(table, self.subject)
        parts = {f"by_{name}": score_by(name, table, self.subject) for name in ("speaker", "gender")}
        if self.protocol.stress is not None:
            stressed = pd.DataFrame([row for row in rows if "stress" in row])
            labelled = stressed[stressed["emotion"].notna()]
            parts["stress"] = score_stress(labelled, self.subject.categories)
            parts["stress"]["left_out"] = self.protocol.stress.left_out
        if self.protocol.mixtures is not None:
            parts["stored"] = stored_scores(self.protocol.mixtures, table)
        return Results(
            provenance=self._provenance(table) | {"failed": len(failures)},
            conditions=conditions,
            by_kind=score_conditions(table, self.subject, by_kind=True) if self.protocol.by_kind else [],
            table=table,
            notes=[*self.notes, *unscored_notes(conditions), *duration_notes(table)],
            failures=failures,
            parts={name: part for name, part in parts.items() if part},
        )

    def _provenance(self, table: pd.DataFrame) -> dict[str, Any]:
        """Return where results come from, with the hours of what was judged, each utterance once."""
        hours = None
        if "duration_s" in table and table["duration_s"].notna().all():
            hours = float(table.drop_duplicates("file")["duration_s"].sum() / 3600)
        return self.provenance | {"data": self.provenance["data"] | {"hours": hours}}

    def _workers(self, utterances: int) -> int:
        """Return how many processes are worth starting to judge so many utterances."""
        stress = () if self.protocol.stress is None else self.protocol.stress.stressors
        signals = utterances * (len(self.protocol.conditions) + len(stress))
        return min(default_workers(), 1 + signals // _SIGNALS_A_WORKER)

    def _judge(
        self, workers: int | None, on_done: Callable[[], None] | None, journal: Journal | None
    ) -> tuple[dict[int, list[dict[str, Any]]], list[str]]:
        """Return the rows of each utterance by its place, and messages about those that could not be judged."""
        judged = {} if journal is None else dict(journal.rows)
        pending = [place for place in range(len(self.utterances)) if place not in judged]
        writer = None if self.protocol.cache is None else CacheWriter(self.protocol.cache)
        outcomes = map_tasks(
            judge_utterance,
            [self.utterances[place] for place in pending],
            workers=max(1, min(self._workers(len(pending)) if workers is None else workers, len(pending))),
            describe=lambda utterance: utterance.file,
            on_done=None if on_done is None else lambda _: on_done(),
            setup=open_judge,
            setup_args=(self.system, self.protocol, self.protocol.mixer(), self.subject.measures),
        )
        failures = []
        with _single_thread(), contextlib.closing(outcomes), contextlib.closing(writer or contextlib.ExitStack()):
            for place, outcome in zip(pending, outcomes, strict=True):
                if isinstance(outcome.error, SilentNoiseError | CacheError):
                    raise outcome.error
                if outcome.error is not None:
                    failures.append(str(outcome.error))
                    continue
                if writer is not None:
                    writer.write(outcome.value.found)
                rows = outcome.value.rows
                judged[place] = rows if journal is None else journal.record(place, rows)
        return judged, failures


def evaluate(
    manifest: Manifest | Path | str,
    model: Path | str | None = None,
    protocol: Protocol | None = None,
    *,
    workers: int = 1,
    on_done: Callable[[], None] | None = None,
) -> Results:
    """Evaluate a model on the utterances of a manifest: `prepare_evaluation`, then `Evaluation.run`."""
    return prepare_evaluation(manifest, model, protocol, workers=workers).run(workers=workers, on_done=on_done)


def prepare_evaluation(
    manifest: Manifest | Path | str | None,
    model: Path | str | None = None,
    protocol: Protocol | None = None,
    *,
    workers: int = 1,
) -> Evaluation:
    """Check everything an evaluation needs before the first utterance is judged.

    A manifest with the columns `clean_file` and `snr_db` is noisy already: its audio is judged as it is, its clean
    files are the references, and the protocol must name neither SNRs nor noise.

    Args:
        manifest: the corpus; of a clean one the protocol says what it is mixed with. None, with fixed mixtures, where
            nobody labelled them.
        model: a run, or a model folder; None for the newest finished run at hand.
        protocol: how; None for the defaults.
        workers: processes that may look for seen audio.

    Raises:
        InputError: the manifest lacks a column or split, or has a speaker in two; the SNRs or the noise do not fit it;
            the model does not know a category, has learned from a test utterance, or was trained with the test noise.
    """
    protocol = protocol or Protocol()
    if manifest is not None and not isinstance(manifest, Manifest):
        manifest = Manifest.read(manifest)
    recognizer = load(model, protocol.device)
    among = _closed_set(manifest, recognizer) if protocol.closed_set else None
    if among is not None:
        recognizer = load(recognizer.folder, protocol.device, categories=among)
    chosen = choose(manifest, recognizer, protocol)
    config = recognizer.model.config
    enhances = config.enhances or protocol.enhancer is not None
    subject = Subject(config.categories, chosen.attributes, protocol.all_measures if enhances else ())
    _expect_something_to_score(subject, recognizer, chosen)
    run = run_of(recognizer)
    enhancing = protocol.enhancer
    runs = [run, *([run_of(load(enhancing.folder))] if isinstance(enhancing, RunEnhancer) else [])]
    if protocol.unseen_noise:
        for each in runs:
            refuse_heard_noise(protocol.noise, each, babble=protocol.babble, workers=workers)
    heard = frozenset().union(*(each.seen_audio for each in runs if each))
    seen = find_seen(chosen.utterances, heard, workers=workers)
    if seen and not protocol.allow_seen:
        refuse_seen(seen, len(chosen.utterances))
    if not seen and (None in runs or isinstance(enhancing, CommandEnhancer)):
        seen = None  # nobody knows what one of them learned from
    seen_files = None if seen is None else {one.file for one in seen}
    if isinstance(enhancing, CommandEnhancer):
        enhancing.try_out()
    provenance, notes = describe(chosen, protocol=protocol, recognizer=recognizer, run=run, seen=seen)
    return Evaluation(
        protocol=protocol,
        system=System(recognizer.folder, protocol.enhancer, protocol.device, among),
        utterances=tuple(
            dataclasses.replace(one, facts=one.facts | {"seen": None if seen_files is None else one.file in seen_files})
            for one in chosen.utterances
        ),
        subject=subject,
        provenance=provenance,
        notes=tuple(notes),
    )


def _closed_set(manifest: Manifest | None, recognizer: Recognizer) -> tuple[str, ...] | None:
    """Return the categories that both a manifest, in all of its splits, and a model have; None where it has none.

    Raises:
        InputError: nobody says which categories the corpus has, or they have fewer than two in common.
    """
    known = recognizer.model.config.categories
    if not known:
        return None
    if manifest is None or not manifest.has("emotion"):
        raise InputError(
            "a closed set is that of a manifest's categories; expected one with the column 'emotion': add it, or leave "
            "--closed-set out"
        )
    labels = set(manifest.table["emotion"].dropna())
    common = tuple(name for name in known if name in labels)
    if len(common) < 2:
        raise InputError(
            f"{manifest.name}: has {len(common)} of the model's categories ({', '.join(known)}); expected two or more "
            "to choose among: leave --closed-set out, or map its words as they are read (sertool corpus --map)"
        )
    return common


def _expect_something_to_score(subject: Subject, recognizer: Recognizer, chosen: Chosen) -> None:
    config = recognizer.model.config
    if not (config.categories or config.attributes or config.enhances):
        raise InputError(
            "this model was pre-trained and recognises nothing yet; expected one that does: train one from it with "
            "`sertool train --encoder RUN`"
        )
    if not (subject.categories or subject.attributes or subject.measures):
        raise InputError(
            f"{chosen.name}: nothing to score; the model recognises no categories and does not enhance: it needs "
            f"ratings of {', '.join(config.attributes) or 'nothing'}: add them, or choose another model"
        )


@contextlib.contextmanager
def _single_thread() -> Iterator[None]:
    """Compute in one thread within, as worker processes do, and in as many as before afterwards."""
    threads = torch.get_num_threads()
    with threadpool_limits(1):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
