"""`sertool evaluate`: how well a model hears emotion, and how much better speech sounds after it, at stated SNRs."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sertool.cli import console
from sertool.cli import evaluate_options as options
from sertool.cli.evaluate_settings import measures_of, read_corpus, read_protocol, with_stress
from sertool.cli.evaluate_tables import print_json, print_tables
from sertool.cli.mixing_options import (
    Babble,
    BabbleSplit,
    CleanReference,
    LevelChoice,
    Rir,
    SpeechLevel,
    Talkers,
    read_babble,
    read_rooms,
)
from sertool.core.errors import InputError

if TYPE_CHECKING:
    from sertool.core.corpus.manifest import Manifest
    from sertool.core.evaluation.by_snr import Evaluation
    from sertool.core.evaluation.journal import Journal
    from sertool.core.evaluation.predicted import Baseline
    from sertool.core.evaluation.protocol import Protocol
    from sertool.core.evaluation.results import Results
    from sertool.core.training.stress_limits import StressLimits


def evaluate(
    context: typer.Context,
    manifest: options.Corpus = None,
    model: options.Model = None,
    baseline: options.Baseline = None,
    noise: options.Noise = None,
    kind: options.Kinds = None,
    babble: Babble = None,
    babble_split: BabbleSplit = None,
    talkers: Talkers = None,
    snr: options.Snrs = None,
    speech_level: SpeechLevel = LevelChoice.UTTERANCE,
    rir: Rir = None,
    clean_reference: CleanReference = None,
    mixtures: options.Mixtures = None,
    predictions: options.Predictions = None,
    word_map: options.Map = None,
    enhancer: options.EnhancerText = None,
    enhancer_time_limit: options.EnhancerTimeLimit = 600.0,
    split: options.Split = "test",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    device: options.Device = "cpu",
    no_speech_metrics: options.NoSpeech = False,
    dnsmos: options.DnsmosPath = None,
    stress: options.StressTests = False,
    recipe: options.RecipePath = None,
    by_kind: options.ByKind = False,
    unseen_noise: options.UnseenNoise = False,
    allow_seen: options.AllowSeen = False,
    on_unknown: options.Unknown = options.OnUnknown.EXCLUDE,
    closed_set: options.ClosedSet = False,
    as_json: options.AsJson = False,
    output: options.Output = None,
    outcomes: options.Outcomes = None,
    report: options.ReportFile = None,
    no_cache: options.NoCache = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Score a model by SNR: emotion (F1-macro, UA, calibration, CCC) and speech quality before and after enhancement.

    Every utterance gets one noise, the same at every SNR, whatever the number of workers. A noisy manifest, as
    sertool mix-noise writes it, is evaluated as it is.

    With --baseline a sign-flip test over speakers says whether the model is better, worse, or whether that cannot be
    told; it takes eight test speakers.

    With --rir mixtures sound in rooms, speech and noise from different places: the SNR is that of the reverberant
    speech, and the clean condition stays without room.

    With --output, --outcomes or --report, an evaluation that was interrupted and is run again goes on.
    """
    from sertool.core.engine import default_workers
    from sertool.core.evaluation.cache import cache_folder

    heard_by = {"--model": model, "--enhancer": enhancer, "--dnsmos": dnsmos, "--stress": stress or None}
    heard_by |= {"--closed-set": closed_set or None}
    heard = {"--mixtures": mixtures, "--noise": noise, "--babble": babble, "--rir": rir}
    _check_together(predictions, heard_by | heard)
    if word_map and not predictions and not baseline:
        raise InputError("--map is about the words of --predictions or --baseline tables: name one, or leave it out")
    if recipe is not None and not stress:
        raise InputError("--recipe sets the limits of stress tests, but none are run: add --stress, or leave it out")
    tables = output or []
    outputs = [*tables, *(path for path in (outcomes, report) if path is not None)]
    _check_names(tables, outcomes, report)
    read = [manifest, mixtures, recipe, noise, babble, *(predictions or []), *map(Path, baseline or [])]
    _refuse_inputs(outputs, [path for path in read if path is not None])
    if not outputs:
        console.if_interrupted("nothing was kept; with --output FILE an evaluation goes on when it is run again")
    _refuse_existing(outputs, overwrite=overwrite or _had_begun_writing(outputs))
    corpus, noise = read_corpus(manifest, noise, babble, mixtures)
    protocol = read_protocol(
        corpus,
        noise,
        kinds=kind,
        snrs=snr,
        split=None if split == options.ALL else split,
        seed=seed,
        measures=measures_of(speech=not no_speech_metrics, dnsmos=dnsmos),
        on_unknown=on_unknown.value,
        closed_set=closed_set,
        allow_seen=allow_seen,
        unseen_noise=unseen_noise,
        by_kind=by_kind,
        speech_level=speech_level.value,
        babble=read_babble(babble, split=babble_split, talkers=talkers),
        reverberation=read_rooms(rir, clean_reference),
        device=device,
        mixtures=mixtures,
        enhancer=enhancer,
        enhancer_time_limit=enhancer_time_limit,
        dnsmos=dnsmos,
        cache=None if no_cache else cache_folder(),
    )
    most = workers or default_workers()
    limits = None
    if stress:
        protocol, limits = with_stress(protocol, model, recipe, rir=rir)
    against: Baseline | None = None

    def finish(results: "Results", evaluation: "Evaluation | None", journal: "Journal | None" = None) -> "Results":
        """Compare, judge by the limits, write, and print."""
        if against is not None:
            with console.progress(_to_judge(against), "evaluating the baseline") as advance:
                results = against.against(results, workers=workers, on_done=lambda: advance(1))
        if limits is not None:
            results = _held_to(results, limits)
        if journal:
            journal.begin_writing()
        _write(results, command_line(context), tables, outcomes=outcomes, report=report, evaluation=evaluation)
        print_json(results, command_line(context)) if as_json else print_tables(results)
        return results

    if predictions:
        results = _judged_elsewhere(corpus, predictions, protocol, word_map)
        against = _baseline(baseline, corpus, protocol, results.table["file"], _classes(results), most, word_map)
        finish(results, None)
        return
    evaluation = _prepared(corpus, model, protocol, most)
    files = [utterance.file for utterance in evaluation.utterances]
    against = _baseline(baseline, corpus, protocol, files, evaluation.subject.categories, most, word_map)
    with _journal(evaluation, outputs, overwrite=overwrite) as journal:
        with console.progress(len(evaluation.utterances), "evaluating") as advance:
            advance(len(journal.rows) if journal else 0)
            results = evaluation.run(workers=workers, on_done=lambda: advance(1), journal=journal)
        results = finish(results, evaluation, journal)
    if results.failures:
        console.list_failures(results.failures, total=len(evaluation.utterances))
        raise typer.Exit(console.SOME_FAILED)
    if results.parts.get("stress", {}).get("missed"):
        raise typer.Exit(console.LIMIT_MISSED)


def command_line(context: typer.Context) -> list[str]:
    """Return the command as it was given, options in the order of the help, without a path of the machine."""
    from sertool.core.evaluation.provenance import portable

    words = ["sertool", context.command.name or "evaluate"]
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name)
        if given is None or given.name != "COMMANDLINE":
            continue
        value = context.params[parameter.name]
        for one in value if isinstance(value, list | tuple) else [value]:
            option = [max(parameter.opts, key=len)] if parameter.param_type_name == "option" else []
            words += option + ([] if isinstance(one, bool) else [portable(str(getattr(one, "value", one)))])
    return words


def _had_begun_writing(outputs: list[Path]) -> bool:
    """Return whether a process that was killed between the first of these outputs and the last has left its own."""
    from sertool.core.evaluation.journal import had_begun_writing, journal_beside

    return bool(outputs) and had_begun_writing(journal_beside(outputs[0]))


def _refuse_existing(outputs: list[Path], *, overwrite: bool) -> None:
    for path in outputs:
        if path.exists() and not overwrite:
            raise InputError(f"{path}: exists already: move it, choose another name, or say --overwrite")


def _refuse_inputs(outputs: list[Path], inputs: list[Path]) -> None:
    """Stop where a file that is read would be written over, whatever else is allowed."""
    read = {path.resolve() for path in inputs}
    for path in outputs:
        if path.resolve() in read:
            raise InputError(f"{path}: is read, and would be written over; expected another file: choose another name")


@contextlib.contextmanager
def _journal(evaluation: "Evaluation", outputs: list[Path], *, overwrite: bool) -> "Iterator[Journal | None]":
    """Keep a journal beside the first output; without outputs there is none."""
    from sertool.core.evaluation.journal import journal_beside, open_journal
    from sertool.core.writing import remove_leftovers

    if not outputs:
        yield None
        return
    with open_journal(journal_beside(outputs[0]), evaluation.inputs, overwrite=overwrite) as journal:
        # The journal is not opened a second time to see whether it tells of writing: that would end the hold on it.
        _refuse_existing(outputs, overwrite=overwrite or journal.writing)
        if journal.rows:
            console.note(f"going on: {len(journal.rows)} of {len(evaluation.utterances)} utterances are judged already")
        yield journal
        for folder in {path.parent for path in outputs}:
            remove_leftovers(folder)


def _prepared(corpus: "Manifest | None", model: str | None, protocol: "Protocol", workers: int) -> "Evaluation":
    from sertool.core.evaluation.by_snr import prepare_evaluation

    return prepare_evaluation(corpus, model, protocol, workers=workers)


def _judged_elsewhere(
    corpus: "Manifest", predictions: list[Path], protocol: "Protocol", words: list[str] | None
) -> "Results":
    from sertool.core.corpus.categories import parse_map
    from sertool.core.evaluation.predicted import evaluate_predictions

    return evaluate_predictions(corpus, predictions, protocol, mapping=parse_map(words or []))


def _baseline(
    baseline: list[str] | None,
    corpus: "Manifest | None",
    protocol: "Protocol",
    files: "Sequence[str]",
    classes: "Sequence[str]",
    workers: int,
    words: list[str] | None,
) -> "Baseline | None":
    """Return the baseline, checked before anything is judged; None where none was named."""
    from sertool.core.corpus.categories import parse_map
    from sertool.core.evaluation.predicted import prepare_baseline

    if not baseline:
        return None
    if corpus is None:
        raise InputError("--baseline compares emotions, which nobody labelled: name the manifest of the clips too")
    mapping = parse_map(words or [])
    return prepare_baseline(baseline, corpus, protocol, files=files, classes=classes, workers=workers, mapping=mapping)


def _classes(results: "Results") -> list[str]:
    return list(next(one["per_class"] for one in results.conditions))


def _to_judge(baseline: "Baseline") -> int:
    return 0 if baseline.evaluation is None else len(baseline.evaluation.utterances)


def _held_to(results: "Results", limits: "StressLimits") -> "Results":
    """Return results that say which limits were missed."""
    from sertool.core.evaluation.stress_scores import missed_limits

    stress = results.parts["stress"]
    told = stress | {"limits": limits.model_dump(mode="json")["limits"], "missed": missed_limits(stress, limits)}
    return dataclasses.replace(results, parts=results.parts | {"stress": told})


def _check_together(predictions: list[Path] | None, others: dict[str, object]) -> None:
    """Refuse what makes no sense beside predictions, which have been made, of mixtures that have been heard."""
    given = [name for name, value in others.items() if value is not None]
    if predictions and given:
        raise InputError(
            f"--predictions were made elsewhere, and nothing is heard again; expected no {' or '.join(given)}: leave "
            f"{'it' if len(given) == 1 else 'them'} out"
        )


def _check_names(tables: list[Path], outcomes: Path | None, report: Path | None) -> None:
    """Make sure that every output has a name of its own that says what it is."""
    from sertool.core.evaluation.outputs import check_suffix

    for path in tables:
        check_suffix(path)
    for path, option, suffix in ((outcomes, "--outcomes", ".csv"), (report, "--report", ".html")):
        if path is not None and path.suffix.lower() != suffix:
            raise InputError(f"{option} {path}: expected a name that ends in {suffix}: choose another name")
    paths = [path.resolve() for path in (*tables, outcomes, report) if path is not None]
    if double := next((path for path in paths if paths.count(path) > 1), None):
        raise InputError(f"{double.name}: named for two outputs; expected a file for each: choose another name")
    for path in paths:
        folder = next(parent for parent in path.parents if parent.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise InputError(f"{path.name}: {folder.name} is no folder that can be written to: choose another place")


def _write(
    results: "Results",
    command: list[str],
    tables: list[Path],
    *,
    outcomes: Path | None,
    report: Path | None,
    evaluation: "Evaluation | None",
) -> None:
    from sertool.core.evaluation.outputs import write_output, write_page

    if outcomes is not None:
        results.write_outcomes(outcomes)
    for path in tables:
        write_output(path, results, command)
    if report is not None:
        write_page(report, results, command, evaluation)
