"""`sertool evaluate`: how well a model hears emotion, and how much better speech sounds after it, at stated SNRs."""

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sertool.cli import console
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
    from sertool.core.evaluation.protocol import Protocol
    from sertool.core.evaluation.results import Results

ALL = "all"


class OnUnknown(StrEnum):
    """What to do with an utterance of a category the model does not know."""

    EXCLUDE = "exclude"
    ERROR = "error"


Corpus = Annotated[
    Path | None,
    typer.Argument(help="Manifest to evaluate on, clean or noisy.", show_default="the built-in sample corpus"),
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="RUN", help="A run.", show_default="the newest finished run at hand")
]
Noise = Annotated[
    Path | None,
    typer.Option("--noise", help="Test noise: a folder, one subfolder a kind, or a manifest with a column 'kind'."),
]
Kinds = Annotated[list[str] | None, typer.Option("--kind", help="Take only this kind of noise; repeatable.")]
Snrs = Annotated[
    list[str] | None,
    typer.Option("--snr", help="SNR in dB, or 'clean'; repeatable.", show_default="clean, and 0 where there is noise"),
]
Split = Annotated[str, typer.Option("--split", help="Split to evaluate; 'all' takes every utterance.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the draws of noise.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Processes to use.", show_default="one a core")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
NoSpeech = Annotated[bool, typer.Option("--no-speech-metrics", help="Leave speech quality out; much faster.")]
Estoi = Annotated[bool, typer.Option("--estoi", help="Measure ESTOI too.")]
ByKind = Annotated[bool, typer.Option("--by-kind", help="Also score each kind of noise by itself.")]
UnseenNoise = Annotated[
    bool, typer.Option("--unseen-noise", help="Stop if the noise shares a kind or recording with training.")
]
AllowSeen = Annotated[
    bool, typer.Option("--allow-seen", help="Go on, and say so, if the model learned from test utterances.")
]
Unknown = Annotated[OnUnknown, typer.Option("--on-unknown", help="Utterances of a category the model does not know.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="JSON lines: where the scores come from, then one line a condition.")
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Also write everything to this JSON file.")]
Predictions = Annotated[
    Path | None, typer.Option("--predictions", help="Also write one row an utterance and condition to this CSV file.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace output files that exist.")]


def evaluate(
    context: typer.Context,
    manifest: Corpus = None,
    model: Model = None,
    noise: Noise = None,
    kind: Kinds = None,
    babble: Babble = None,
    babble_split: BabbleSplit = None,
    talkers: Talkers = None,
    snr: Snrs = None,
    speech_level: SpeechLevel = LevelChoice.UTTERANCE,
    rir: Rir = None,
    clean_reference: CleanReference = None,
    split: Split = "test",
    seed: Seed = 0,
    workers: Workers = None,
    device: Device = "cpu",
    no_speech_metrics: NoSpeech = False,
    estoi: Estoi = False,
    by_kind: ByKind = False,
    unseen_noise: UnseenNoise = False,
    allow_seen: AllowSeen = False,
    on_unknown: Unknown = OnUnknown.EXCLUDE,
    as_json: AsJson = False,
    output: Output = None,
    predictions: Predictions = None,
    overwrite: Overwrite = False,
) -> None:
    """Score a model by SNR: emotion (F1-macro, F1-micro, UA, CCC) and speech quality before and after enhancement.

    Every utterance gets one noise, the same at every SNR, whatever the number of workers. A noisy manifest, as
    sertool mix-noise writes it, is evaluated as it is.

    With --rir mixtures sound in rooms, speech and noise from different places: the SNR is that of the reverberant
    speech, and the clean condition stays without room.

    With --output or --predictions, an evaluation that was interrupted and is run again goes on.
    """
    from sertool.core.engine import default_workers
    from sertool.core.evaluation.by_snr import prepare_evaluation

    outputs = [path for path in (output, predictions) if path is not None]
    if not outputs:
        console.if_interrupted("nothing was kept; with --output FILE an evaluation goes on when it is run again")
    _refuse_existing(outputs, overwrite=overwrite or _had_begun_writing(outputs))
    corpus, noise = _corpus(manifest, noise, babble)
    protocol = _protocol(
        corpus,
        noise,
        kinds=kind,
        snrs=snr,
        split=None if split == ALL else split,
        seed=seed,
        measures=_measures(speech=not no_speech_metrics, estoi=estoi),
        on_unknown=on_unknown.value,
        allow_seen=allow_seen,
        unseen_noise=unseen_noise,
        by_kind=by_kind,
        speech_level=speech_level.value,
        babble=read_babble(babble, split=babble_split, talkers=talkers),
        reverberation=read_rooms(rir, clean_reference),
        device=device,
    )
    workers = workers or default_workers()
    evaluation = prepare_evaluation(corpus, model, protocol, workers=workers)
    command = command_line(context)
    with _journal(evaluation, outputs, overwrite=overwrite) as journal:
        with console.progress(len(evaluation.utterances), "evaluating") as advance:
            advance(len(journal.rows) if journal else 0)
            results = evaluation.run(workers=workers, on_done=lambda: advance(1), journal=journal)
        if journal:
            journal.begin_writing()
        if predictions is not None:
            results.write_predictions(predictions)
        if output is not None:
            results.write_json(output, command=command)
        _print_json(results, command) if as_json else _print_tables(results)
    if results.failures:
        console.list_failures(results.failures, total=len(evaluation.utterances))
        raise typer.Exit(console.SOME_FAILED)


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


def _corpus(manifest: Path | None, noise: Path | None, babble: Path | None) -> "tuple[Manifest, Path | None]":
    """Return the manifest named and the noise named; without a manifest the sample corpus, and its noise if need be."""
    from sertool.core.corpus.manifest import Manifest

    if manifest is not None:
        return Manifest.read(manifest), noise
    from sertool.core.corpus.sample import sample_manifest, sample_noise

    return Manifest.read(sample_manifest()), noise or (sample_noise("unseen") if babble is None else None)


def _protocol(
    corpus: "Manifest", noise: Path | None, *, kinds: list[str] | None, snrs: list[str] | None, **settings: Any
) -> "Protocol":
    from sertool.core.corpus.mixing import parse_snr
    from sertool.core.corpus.noise import NoiseSet
    from sertool.core.evaluation.protocol import Protocol, is_noisy

    if kinds and noise is None:
        raise InputError("--kind chooses among noises, but there are none: name them with --noise")
    choice = None
    if snrs:
        choice = parse_snr(snrs, allow_clean=True)
    elif not is_noisy(corpus):
        mixes = noise is not None or settings["babble"] is not None
        choice = parse_snr(["clean", "0"] if mixes else ["clean"], allow_clean=True)
    # The sample corpus has noise at hand, which only an SNR calls for.
    noise_set = None if noise is None else NoiseSet.read(noise, kinds=kinds or None)
    return Protocol(snr=choice, noise=noise_set, **settings)


def _measures(*, speech: bool, estoi: bool) -> tuple[str, ...]:
    from sertool.core.metrics.speech import MEASURES

    if estoi and not speech:
        raise InputError("--estoi and --no-speech-metrics exclude each other: leave one out")
    return (*MEASURES, "estoi") if estoi else MEASURES if speech else ()


def _print_json(results: "Results", command: list[str]) -> None:
    """Write where the scores come from as the first line, then one line a condition that can stand by itself."""
    document = results.document(command=command)
    conditions = [*document.pop("conditions"), *document.pop("by_kind", [])]
    console.json_line({"record": "evaluation", **document})
    origin = {
        "model": results.provenance["model"]["id"],
        "split": results.provenance["split"],
        "seed": results.provenance["seed"],
        "seen_utterances": results.provenance["seen_utterances"],
    }
    for condition in conditions:
        console.json_line({"record": "condition", **condition, **origin})


def _print_tables(results: "Results") -> None:
    model, data = results.provenance["model"], results.provenance["data"]
    about = f"{model['name']} ({model['id']}), {data['utterances']} utterances of {data['speakers']} speakers"
    for conditions, where in ((results.conditions, ""), (results.by_kind, ", by kind of noise")):
        if conditions and (model["categories"] or "ccc" in conditions[0]):
            columns, rows = _emotion_table(conditions, results.attribute_label)
            console.result(f"Emotion{where}: {about}")
            console.table(columns, rows)
        if conditions and "speech" in conditions[0]:
            columns, rows = _speech_table(conditions)
            console.result(f"Speech quality{where}, unprocessed → enhanced")
            console.table(columns, rows)
    for note in results.notes:
        console.result(f"* {note}")


def _emotion_table(conditions: list[dict[str, Any]], attribute_label: str) -> tuple[list[str], list[list[object]]]:
    scores = {"f1_macro": "F1-macro", "f1_micro": "F1-micro", "ua": "UA"}
    scores = {key: name for key, name in scores.items() if key in conditions[0]}
    attributes = list(conditions[0].get("ccc", {}))
    said = f" ({attribute_label})" if attribute_label else ""
    columns = [*_place_columns(conditions), "n", *scores.values(), *(f"CCC {name}{said}" for name in attributes)]
    rows = [
        [
            *_place(condition, conditions),
            condition["n"],
            *(_rounded(condition[key], 3) for key in scores),
            *(_rounded(condition["ccc"][name], 3) for name in attributes),
        ]
        for condition in conditions
    ]
    return columns, rows


def _speech_table(conditions: list[dict[str, Any]]) -> tuple[list[str], list[list[object]]]:
    from sertool.core.evaluation.results import MEASURE_NAMES

    digits = {"pesq_wb": 2, "stoi": 3, "estoi": 3, "si_sdr": 1}
    measures = list(conditions[0]["speech"])
    columns = [*_place_columns(conditions), "n"]
    columns += [MEASURE_NAMES[name] + (" (dB)" if name == "si_sdr" else "") for name in measures]
    rows = []
    for condition in conditions:
        cells: list[object] = [*_place(condition, conditions), condition["n"]]
        for name in measures:
            before, after = (condition["speech"][name][signal]["mean"] for signal in ("unprocessed", "enhanced"))
            cells.append(f"{_rounded(before, digits[name]) or '–'} → {_rounded(after, digits[name]) or '–'}")
        rows.append(cells)
    return columns, rows


def _place_columns(conditions: list[dict[str, Any]]) -> list[str]:
    return ["SNR", "noise"] if conditions[0]["noise_kind"] is not None else ["SNR"]


def _place(condition: dict[str, Any], conditions: list[dict[str, Any]]) -> list[object]:
    return [condition["condition"], condition["noise_kind"]][: len(_place_columns(conditions))]


def _rounded(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"
