"""`sertool export`: a model as an ONNX file or as a Hugging Face folder, checked against torch."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sertool.cli import console
from sertool.cli.options import Overwrite
from sertool.cli.outputs import refuse_losses
from sertool.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from sertool.core.exporting.agreement import Agreement
    from sertool.core.exporting.manifest_cost import ManifestCost
    from sertool.core.exporting.onnx_file import OnnxModel
    from sertool.core.exporting.quantise import Cost
    from sertool.core.models.recognizer import Recognizer


class Format(StrEnum):
    """What a model is exported as."""

    ONNX = "onnx"
    HF = "hf"


def export(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", show_default=False, help="A run. Default: the newest finished run at hand."),
    ] = None,
    format: Annotated[
        Format, typer.Option(metavar="onnx|hf", help="One ONNX file, or a folder that transformers loads.")
    ] = Format.ONNX,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            show_default=False,
            help="A .onnx file, or a folder. Default: the run's name, in the working folder.",
        ),
    ] = None,
    quantise: Annotated[
        bool,
        typer.Option("--quantise", help="Also write an 8-bit variant, OUT.int8.onnx, and say what it costs."),
    ] = False,
    check_on: Annotated[
        str | None,
        typer.Option(
            metavar="MANIFEST",
            show_default=False,
            help="With --quantise: measure its cost on this manifest too, by its labels and clean files.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON instead of paths.")] = False,
) -> None:
    """Take a model elsewhere: one ONNX file, or a folder that `transformers` loads.

    The ONNX file takes a waveform of any length at 16 kHz and gives back what the model has of enhanced, probabilities
    and attributes. When it is written it is compared with torch on speech in noise of 1 sample to 30 s, and on silence;
    a difference above 1e-4 of the peak (speech), 1e-4 (probabilities) or 1e-3 (attributes) ends with exit code 3.

    Prints the path of each file, or of the folder.
    """
    console.if_interrupted("what is written is whole; run the same command again, with --overwrite")
    if format is Format.HF and (quantise or check_on):
        raise InputError("--quantise and --check-on are for ONNX files; expected --format onnx with them: leave it out")
    if check_on and not quantise:
        raise InputError("--check-on measures what quantisation costs; expected --quantise with it: add that")
    if format is Format.ONNX:
        from sertool.core.exporting.onnx_file import require

        require("onnx")
        require("onnxruntime")
    target = _target(run, output, format)
    _refuse_losses(target, quantise=quantise, overwrite=overwrite)
    if check_on:
        from sertool.core.corpus.manifest import Manifest

        Manifest.read(check_on)  # a wrong name ends the call before the work
    from sertool.core.models.inference import load

    recognizer = load(run, "cpu")
    target = target or Path(f"{_name(recognizer)}{'.onnx' if format is Format.ONNX else '-hf'}")
    _refuse_losses(target, quantise=quantise, overwrite=overwrite)
    if format is Format.HF:
        _write_folder(recognizer, target, as_json=json)
    else:
        _write_file(recognizer, target, quantise=quantise, check_on=check_on, as_json=json)


def _target(run: str | None, output: str | None, format: Format) -> Path | None:
    """Return where the export goes; None where only the run found will tell its name."""
    if output is None:
        return None
    if format is Format.ONNX and (output.endswith("/") or Path(output).suffix.lower() != ".onnx"):
        raise InputError(f"{output}: cannot tell the format; expected a name in .onnx, or --format hf for a folder")
    if format is Format.HF and Path(output).is_file():
        raise InputError(f"{output}: is a file; expected a folder: choose another place with -o")
    return Path(output)


def _refuse_losses(target: Path | None, *, quantise: bool, overwrite: bool) -> None:
    """Refuse what would lose a file before anything is computed."""
    from sertool.core.exporting.quantise import quantised_name

    if target is None:
        return
    paths = [target, quantised_name(target)] if quantise else [target]
    paths = [path for path in paths if not path.is_dir() or any(path.iterdir())]  # an empty folder is as good as none
    refuse_losses(paths, overwrite=overwrite)


def _name(recognizer: "Recognizer") -> str:
    folder = recognizer.folder.resolve()
    return folder.parent.name if folder.name == "model" else folder.name


def _write_folder(recognizer: "Recognizer", folder: Path, *, as_json: bool) -> None:
    from sertool.core.exporting.cards import folder_card, run_card
    from sertool.core.exporting.hf_folder import FILES, write_folder

    own = recognizer.folder.resolve()
    run = own.parent if own.name == "model" else own
    if folder.resolve() in (own, run):  # what was exported there would replace the run's own card
        raise InputError(f"{folder}: is the model itself; expected another folder: choose another place with -o")
    config, card = recognizer.model.config, run_card(recognizer.folder)
    text = folder_card(config, name=_name(recognizer), model_id=recognizer.model_id, card=card)
    files = write_folder(recognizer, folder, text)
    if as_json:
        sizes = {path.name: path.stat().st_size for path in files}
        console.json_line({"output": str(folder), "format": "hf", "model": recognizer.model_id, "bytes": sizes})
    else:
        console.note(f"{', '.join(FILES)}: load them with AutoModel.from_pretrained(…, trust_remote_code=True)")
        console.result(folder)


def _write_file(recognizer: "Recognizer", path: Path, *, quantise: bool, check_on: str | None, as_json: bool) -> None:
    from sertool.core.exporting.agreement import agreements, check_signals, seconds_per_second, torch_hears
    from sertool.core.exporting.cards import licence_of, run_card
    from sertool.core.exporting.onnx_file import OnnxModel, write_onnx

    write_onnx(recognizer, path, licence=licence_of(run_card(recognizer.folder)))
    exported, signals, hear = OnnxModel(path), check_signals(), torch_hears(recognizer)
    found = agreements(hear, exported.run, signals)
    speeds = {"torch": seconds_per_second(hear), "onnx": seconds_per_second(exported.run)}
    record: dict[str, Any] = {
        "output": str(path),
        "format": "onnx",
        "model": recognizer.model_id,
        "bytes": path.stat().st_size,
        "differences": {one.output: {"largest": _number(one.largest), "limit": one.limit} for one in found},
        "seconds_per_second": speeds,
    }
    _tell_agreement(found, signals)
    if not as_json:
        console.result(path)
    if quantise:
        record["quantised"] = _quantise(exported, signals, check_on, as_json=as_json)
        speeds["onnx_int8"] = record["quantised"].pop("seconds_per_second")
    console.note("one thread, ms a second of audio: " + ", ".join(f"{k} {1000 * v:.3g}" for k, v in speeds.items()))
    if as_json:
        console.json_line(record)
    if missed := [one for one in found if not one.passes]:
        worst = max(missed, key=lambda one: one.largest / one.limit)
        console.fail(
            f"{path}: {worst.output} differs from torch by {worst.largest:.2g} on {worst.samples} samples; expected at "
            f"most {worst.limit:.0e}: do not use the file, and report it",
            code=console.LIMIT_MISSED,
        )


def _tell_agreement(found: "list[Agreement]", signals: "list[np.ndarray]") -> None:
    from sertool.core.audio.files import SAMPLE_RATE

    told = [f"{one.output} by at most {one.largest:.1e} (limit {one.limit:.0e})" for one in found]
    longest = max(map(len, signals)) / SAMPLE_RATE
    console.note(f"checked against torch on {len(signals)} signals of 1 sample to {longest:g} s: {', '.join(told)}")


def _quantise(
    exported: "OnnxModel", signals: "list[np.ndarray]", check_on: str | None, *, as_json: bool
) -> dict[str, Any]:
    from sertool.core.exporting.agreement import seconds_per_second
    from sertool.core.exporting.onnx_file import OnnxModel
    from sertool.core.exporting.quantise import cost, quantised_name, write_quantised

    target = quantised_name(exported.path)
    write_quantised(exported.path, target)
    quantised = OnnxModel(target)
    before, after = exported.path.stat().st_size, target.stat().st_size
    console.note(f"quantised: {before / 1e6:.2f} MB become {after / 1e6:.2f} MB")
    changed = cost(exported.run, quantised.run, signals)
    _tell_cost(changed)
    record = {"output": str(target), "bytes": after, "cost": asdict(changed)}
    if check_on:
        record["manifest"] = _on_manifest(exported, quantised, check_on)
    if not as_json:
        console.result(target)
    return {**record, "seconds_per_second": seconds_per_second(quantised.run)}


def _tell_cost(changed: "Cost") -> None:
    parts = []
    if changed.same_label is not None:
        parts.append(f"the same category on {changed.same_label:.0%}")
        parts.append(f"probabilities change by {changed.mean_change:.2g}, at most {changed.largest_change:.2g}")
    if changed.largest_attribute_change is not None:
        parts.append(f"attributes by at most {changed.largest_attribute_change:.2g}")
    if changed.si_sdr is not None:
        parts.append(f"enhanced speech within {changed.si_sdr:.1f} dB SI-SDR, at worst {changed.worst_si_sdr:.1f}")
    console.note(f"what that changes on {changed.signals} signals: {'; '.join(parts) or 'nothing that can be told'}")


def _on_manifest(exported: "OnnxModel", quantised: "OnnxModel", check_on: str) -> dict[str, Any]:
    from sertool.core.corpus.manifest import Manifest
    from sertool.core.exporting.manifest_cost import manifest_cost

    manifest = Manifest.read(check_on)
    with console.progress(len(manifest), "listening") as advance:
        found = manifest_cost(exported.run, quantised.run, manifest, exported.categories, advance)
    _tell_manifest(found, check_on)
    return asdict(found)


def _tell_manifest(found: "ManifestCost", name: str) -> None:
    parts = [] if found.same_label is None else [f"the same category on {found.same_label:.1%}"]
    titles = {"ua": ("UA", ".3f"), "pesq_wb": ("PESQ-WB", ".3f"), "si_sdr": ("SI-SDR", ".2f")}
    for key, (title, digits) in titles.items():
        before, after = getattr(found.plain, key), getattr(found.quantised, key)
        if before is not None and after is not None:
            parts.append(f"{title} {before:{digits}} becomes {after:{digits}}")
    told = "; ".join(parts) or "no labels and no clean files to tell by"
    console.note(f"on {found.utterances} utterances of {name}: {told}")


def _number(value: float) -> float | None:
    """Return a number as JSON can hold it: None for an infinite one."""
    return value if value != float("inf") else None
