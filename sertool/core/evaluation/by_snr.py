"""Evaluation by SNR: how well a model hears emotion, and how much better speech sounds after it, in noise and clean."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import Mixer, SilentNoiseError
from sertool.core.corpus.splits import check_disjoint
from sertool.core.engine import map_tasks
from sertool.core.errors import InputError
from sertool.core.evaluation.journal import Journal, digest_inputs
from sertool.core.evaluation.leaks import find_seen, refuse_heard_noise, refuse_seen, run_of
from sertool.core.evaluation.protocol import Protocol, check_noise
from sertool.core.evaluation.provenance import describe
from sertool.core.evaluation.results import Results, Subject, duration_notes, score_conditions, tabulate, unscored_notes
from sertool.core.evaluation.selection import list_utterances, with_labels
from sertool.core.evaluation.utterance import Judge, Utterance, judge_utterance
from sertool.core.models.inference import load


@dataclass(frozen=True)
class Evaluation:
    """An evaluation whose inputs have been checked and which only has to be run.

    Attributes:
        protocol: how.
        model: the model's folder.
        utterances: what is judged.
        subject: what is scored.
        provenance: what results say of their origin.
        notes: what a reader of the scores must know.
    """

    protocol: Protocol
    model: Path
    utterances: tuple[Utterance, ...]
    subject: Subject
    provenance: dict[str, Any]
    notes: tuple[str, ...]

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Digests of all that decides the outcomes, by which a journal knows its evaluation."""
        return digest_inputs(self.protocol, self.utterances, self.provenance)

    def run(
        self, *, workers: int = 1, on_done: Callable[[], None] | None = None, journal: Journal | None = None
    ) -> Results:
        """Judge every utterance, each by itself, and score; the numbers do not depend on the worker count.

        Args:
            workers: processes; each loads the model once.
            on_done: called whenever an utterance is done with.
            journal: what has been judged before, and where to note what is judged now, see `open_journal`.

        Raises:
            OutputError: the journal cannot be written, as on a full disk.
            InputError: not one utterance could be judged.
            SilentNoiseError: nothing in the noise is audible.
        """
        protocol = self.protocol
        judged = {} if journal is None else dict(journal.rows)
        pending = [place for place in range(len(self.utterances)) if place not in judged]
        mixer = protocol.mixer()
        outcomes = map_tasks(
            judge_utterance,
            [self.utterances[place] for place in pending],
            workers=max(1, min(workers, len(pending))),
            describe=lambda utterance: utterance.file,
            on_done=None if on_done is None else lambda _: on_done(),
            setup=_prepare,
            setup_args=(self.model, protocol, mixer, self.subject.measures),
        )
        failures = []
        with _single_thread(), contextlib.closing(outcomes):
            for place, outcome in zip(pending, outcomes, strict=True):
                if isinstance(outcome.error, SilentNoiseError):
                    raise outcome.error
                if outcome.error is not None:
                    failures.append(str(outcome.error))
                else:
                    judged[place] = outcome.value if journal is None else journal.record(place, outcome.value)
        if not judged:
            raise InputError(f"none of the {len(failures)} utterances could be evaluated; the first: {failures[0]}")
        table = tabulate([row for place in sorted(judged) for row in judged[place]])
        conditions = score_conditions(table, self.subject)
        return Results(
            provenance=self.provenance | {"failed": len(failures)},
            conditions=conditions,
            by_kind=score_conditions(table, self.subject, by_kind=True) if protocol.by_kind else [],
            table=table,
            notes=[*self.notes, *unscored_notes(conditions), *duration_notes(table)],
            failures=failures,
        )


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
    manifest: Manifest | Path | str,
    model: Path | str | None = None,
    protocol: Protocol | None = None,
    *,
    workers: int = 1,
) -> Evaluation:
    """Check everything an evaluation needs before the first utterance is judged.

    A manifest with the columns `clean_file` and `snr_db` is noisy already: its audio is judged as it is, its clean
    files are the references, and the protocol must name neither SNRs nor noise.

    Args:
        manifest: the corpus; of a clean one the protocol says what it is mixed with.
        model: a run, or a model folder; None for the newest finished run at hand.
        protocol: how; None for the defaults.
        workers: processes that may look for seen audio.

    Raises:
        InputError: the manifest lacks a column or split, or has a speaker in two; the SNRs or the noise do not fit it;
            the model does not know a category, has learned from a test utterance, or was trained with the test noise.
    """
    protocol = protocol or Protocol()
    if not isinstance(manifest, Manifest):
        manifest = Manifest.read(manifest)
    check_disjoint(manifest)
    check_noise(protocol, manifest)
    recognizer = load(model, protocol.device)
    config = recognizer.model.config
    chosen = manifest.split(protocol.split) if protocol.split is not None else manifest
    chosen, excluded = with_labels(chosen, config, on_unknown=protocol.on_unknown)
    attributes = tuple(name for name in config.attributes if chosen.has(name))
    measures = tuple(protocol.measures) if config.enhances else ()
    if not (config.categories or config.attributes or config.enhances):
        raise InputError(
            "this model was pre-trained and recognises nothing yet; expected one that does: train one from it with "
            "`sertool train --encoder RUN`"
        )
    if not (config.categories or attributes or measures):
        raise InputError(
            f"{manifest.name}: nothing to score; the model recognises no categories and does not enhance: it needs "
            f"ratings of {', '.join(config.attributes) or 'nothing'}: add them, or choose another model"
        )
    run = run_of(recognizer)
    utterances = list_utterances(chosen, config)
    if protocol.unseen_noise:
        refuse_heard_noise(protocol.noise, run, babble=protocol.babble, workers=workers)
    seen = find_seen(utterances, run.seen_audio, workers=workers) if run else None
    if seen and not protocol.allow_seen:
        refuse_seen(seen, len(utterances))
    seen_files = None if seen is None else {one.file for one in seen}
    provenance, notes = describe(
        manifest, chosen, protocol=protocol, recognizer=recognizer, run=run, excluded=excluded, seen=seen
    )
    return Evaluation(
        protocol=protocol,
        model=recognizer.folder,
        utterances=tuple(
            dataclasses.replace(one, facts=one.facts | {"seen": None if seen_files is None else one.file in seen_files})
            for one in utterances
        ),
        subject=Subject(config.categories, attributes, measures),
        provenance=provenance,
        notes=tuple(notes),
    )


def _prepare(model: Path, protocol: Protocol, mixer: Mixer | None, measures: tuple[str, ...]) -> Judge:
    """Load the model once for this process. One thread each, so that sums do not depend on how many cores there are."""
    torch.set_num_threads(1)
    threadpool_limits(1)
    return Judge(load(model, protocol.device), mixer, protocol.conditions, measures, protocol.seed)


@contextlib.contextmanager
def _single_thread() -> Iterator[None]:
    """Compute in one thread within, as worker processes do, and in as many as before afterwards."""
    threads = torch.get_num_threads()
    with threadpool_limits(1):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
