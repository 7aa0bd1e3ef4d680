"""Which commands read a hostile file, how they are called on it, and what they must not do with it."""

import csv
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import TINY, Bench, state_names
from checks import (
    check_enhanced,
    check_evaluation,
    check_features,
    check_manifest,
    check_predictions,
    check_report,
    check_run,
    is_audio,
)
from mutators import Mutant

REFUSED = 2
SEVERAL = (1, 2)


@dataclass(frozen=True)
class Call:
    """One command on one hostile file.

    Attributes:
        name: what the campaign counts it as.
        arguments: the command line.
        codes: exit codes that are right; others are a fault.
        examine: looks at what was printed and written; returns what is wrong, or nothing.
        stdin: bytes on stdin.
    """

    name: str
    arguments: tuple[str, ...]
    codes: tuple[int, ...] = (0, 1, 2)
    examine: Callable[[str, Path], str | None] | None = None
    stdin: bytes = b""


def calls(mutant: Mutant, bench: Bench, folder: Path, *, seed: int, slow: float = 1.0) -> Iterator[Call]:
    """Put a mutant into an empty folder and yield the commands that read it.

    Args:
        mutant: the hostile file.
        bench: good files beside it.
        folder: empty, the working folder of the calls.
        seed: decides which mutants the slow commands get.
        slow: multiplies the share of mutants that slow commands get; 0 for none.
    """
    rng = random.Random(f"calls:{seed}:{mutant.format}:{mutant.number}")
    kinds = {
        "wav": _audio,
        "flac": _audio,
        "csv": _table,
        "parquet": _table,
        "labels": _labels,
        "yaml": _recipe,
        "safetensors": _model,
        "config": _model,
        "record": _record,
        "journal": _journal,
    }
    yield from kinds[mutant.format](mutant, bench, folder, lambda share: rng.random() < share * slow)


def _write_rows(path: Path, rows: list[dict[str, str]]) -> str:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path.name


def _audio(mutant: Mutant, bench: Bench, folder: Path, chance: Callable[[float], bool]) -> Iterator[Call]:
    name = f"x.{mutant.format}"
    (folder / "in").mkdir()
    hostile = folder / "in" / name
    hostile.write_bytes(mutant.data)
    unusable = mutant.unusable or not is_audio(hostile)
    one, some = ((REFUSED,), SEVERAL) if unusable else ((0, 1, 2), (0, 1, 2))
    run, noise = ("--model", str(bench.run)), ("--noise", str(bench.noise))
    yield Call("predict", ("predict", f"in/{name}", "--json", *run), one, check_predictions)
    yield Call(
        "enhance",
        ("enhance", f"in/{name}", "-o", f"out/{name}", *run),
        one,
        lambda text, at: check_enhanced(at / "out"),
    )
    row = {**bench.rows("test")[0], "file_name": f"in/{name}"}
    both = _write_rows(folder / "both.csv", [row, bench.rows("test")[1]])
    yield Call("corpus check", ("corpus", "check", both, "--json", "--workers", "1"), some, check_report)
    yield Call(
        "mix-noise, speech",
        ("mix-noise", both, *noise, "--snr", "0", "--workers", "1", "-o", "mixed"),
        some,
        lambda text, at: check_manifest(at / "mixed"),
    )
    (folder / "hostile-noise" / "kind").mkdir(parents=True)
    (folder / "hostile-noise" / "kind" / name).write_bytes(mutant.data)
    good = _write_rows(folder / "good.csv", bench.rows("test")[:1])
    yield Call(
        "mix-noise, noise",
        ("mix-noise", good, "--noise", "hostile-noise", "--snr", "0", "--workers", "1", "-o", "mixed-2"),
        some,
        lambda text, at: check_manifest(at / "mixed-2"),
    )
    yield Call("extract", ("extract", f"in/{name}", "-o", "features.parquet", *run), one, check_features)
    if chance(1 / 4):
        yield Call("corpus folder", ("corpus", "folder", "in", "-o", "made.csv"))
    if chance(1 / 8):
        arguments = ("predict", f"in/{name}", "--json", "--window", "0.1", "--hop", "0.05", *run)
        yield Call("predict, windows", arguments, one, check_predictions)
    if chance(1 / 8):
        arguments = ("enhance", f"in/{name}", "-o", f"followed/{name}", "--upper-band", "follow", "--dry", "0.2", *run)
        yield Call("enhance, upper band", arguments, one, lambda text, at: check_enhanced(at / "followed"))
    if chance(1 / 8):
        (folder / "rooms" / "one").mkdir(parents=True)
        for place in ("a", "b", "c"):
            (folder / "rooms" / "one" / f"{place}.{mutant.format}").write_bytes(mutant.data)
        arguments = ("mix-noise", good, *noise, "--rir", "rooms", "--snr", "0", "--workers", "1", "-o", "mixed-3")
        yield Call("mix-noise, rooms", arguments, examine=lambda text, at: check_manifest(at / "mixed-3"))
    if chance(1 / 8):
        yield Call("predict, stdin", ("predict", "-", "--json", *run), one, check_predictions, mutant.data)
    if chance(1 / 8):
        arguments = (
            "evaluate",
            both,
            *run,
            "--snr",
            "clean",
            "--no-speech-metrics",
            "--no-cache",
            "--workers",
            "1",
            "--json",
            "--outcomes",
            "rows.csv",
        )
        yield Call("evaluate, speech", arguments, some, check_evaluation(hostile if unusable else None))
    if chance(1 / 24):
        yield Call(
            "evaluate, speech quality",
            ("evaluate", both, *run, "--snr", "clean", "--no-cache", "--workers", "1", "--json"),
            some,
            check_evaluation(None),
        )
    if chance(1 / 24):
        yield Call(
            "evaluate, noise",
            (
                "evaluate",
                good,
                *run,
                "--noise",
                "hostile-noise",
                "--snr",
                "0",
                "--no-speech-metrics",
                "--workers",
                "1",
                "--json",
            ),
            (0, 1, 2),
            check_evaluation(None),
        )
    if chance(1 / 24):
        pair = {"clean_file": f"in/{name}", "snr_db": "0", "noise_kind": "hum", "noise_file": str(hostile)}
        pair = {**bench.rows("test")[0], **pair} if chance(1 / 2) else {**row, **pair, "clean_file": row["file_name"]}
        noisy = _write_rows(folder / "noisy.csv", [pair])
        yield Call(
            "evaluate, pair", ("evaluate", noisy, *run, "--workers", "1", "--json"), (0, 1, 2), check_evaluation(None)
        )
    if chance(1 / 32):
        rows = [{**row, "split": "train", "speaker": "a"}, *bench.rows("train"), *bench.rows("dev")]
        train = _write_rows(folder / "train.csv", rows)
        yield Call(
            "train, speech", ("train", train, *TINY, "-o", "trained"), one, lambda text, at: check_run(at / "trained")
        )
    if chance(1 / 48):
        shutil.copytree(bench.noise, folder / "more-noise")
        (folder / "more-noise" / "hum" / name).write_bytes(mutant.data)
        yield Call(
            "train, noise",
            ("train", str(bench.manifest), "--noise", "more-noise", *TINY, "-o", "trained-2"),
            (0, 1, 2),
            lambda text, at: check_run(at / "trained-2"),
        )
    if chance(1 / 48):
        rows = [{**row, "split": "train", "speaker": "a"}, *bench.rows("train"), *bench.rows("dev")]
        yield Call(
            "pretrain",
            ("pretrain", _write_rows(folder / "pre.csv", rows), *noise, *TINY, "-o", "pre"),
            one,
            lambda text, at: check_run(at / "pre"),
        )


def _table(mutant: Mutant, bench: Bench, folder: Path, chance: Callable[[float], bool]) -> Iterator[Call]:
    suffix = mutant.format
    name = f"metadata.{suffix}"
    (folder / name).write_bytes(mutant.data)
    codes = SEVERAL if mutant.unusable else (0, 1, 2)
    run, noise = ("--model", str(bench.run)), ("--noise", str(bench.noise))
    yield Call("corpus folder", ("corpus", "folder", name, "-o", f"made.{suffix}"))
    yield Call("corpus check", ("corpus", "check", name, "--json", "--workers", "1"), codes, check_report)
    yield Call(
        "mix-noise, speech",
        ("mix-noise", name, *noise, "--snr", "0", "--workers", "1", "-o", "mixed"),
        codes,
        lambda text, at: check_manifest(at / "mixed"),
    )
    good = _write_rows(folder / "good.csv", bench.rows("test")[:1])
    yield Call(
        "mix-noise, noise",
        ("mix-noise", good, "--noise", name, "--snr", "0", "--workers", "1", "-o", "mixed-2"),
        codes,
        lambda text, at: check_manifest(at / "mixed-2"),
    )
    if chance(1 / 4):
        yield Call(
            "corpus folder, folds",
            ("corpus", "folder", name, "--folds", "3", "--fold", "0", "--column", "emotion=emotion", "-o", "folds.csv"),
        )
    if chance(1 / 8):
        yield Call("corpus merge", ("corpus", "merge", name, str(bench.manifest), "-o", "merged.csv"))
    if chance(1 / 8):
        yield Call("extract", ("extract", name, "-o", "features.parquet", *run), (0, 1, 2), check_features)
    if chance(1 / 8):
        arguments = (
            "mix-noise",
            good,
            "--babble",
            name,
            "--talkers",
            "2",
            "--snr",
            "0",
            "--workers",
            "1",
            "-o",
            "mixed-3",
        )
        yield Call("mix-noise, babble", arguments, codes, lambda text, at: check_manifest(at / "mixed-3"))
    if chance(1 / 8):
        yield Call("corpus folder, copy", ("corpus", "folder", name, "--copy", "-o", "copied/made.csv"))
    if chance(1 / 8):
        arguments = (
            "evaluate",
            name,
            *run,
            "--no-speech-metrics",
            "--no-cache",
            "--workers",
            "1",
            "--json",
            "--allow-seen",
            "--split",
            "all",
        )
        yield Call("evaluate", arguments, codes, check_evaluation(None))
    if chance(1 / 16):
        yield Call(
            "train",
            ("train", name, *TINY, "--attribute", "arousal", "-o", "trained"),
            codes,
            lambda text, at: check_run(at / "trained"),
        )
    if chance(1 / 24):
        yield Call(
            "pretrain", ("pretrain", name, *noise, *TINY, "-o", "pre"), codes, lambda text, at: check_run(at / "pre")
        )
    if chance(1 / 24):
        yield Call(
            "train, noise",
            ("train", str(bench.manifest), "--noise", name, *TINY, "-o", "trained-2"),
            codes,
            lambda text, at: check_run(at / "trained-2"),
        )


def _labels(mutant: Mutant, bench: Bench, folder: Path, chance: Callable[[float], bool]) -> Iterator[Call]:
    corpus, _, file = mutant.attack.split(":")[0].partition("/")
    shutil.copytree(bench.root / "corpora" / corpus, folder / corpus)
    (folder / corpus / file).write_bytes(mutant.data)
    yield Call(f"corpus {corpus}", ("corpus", corpus, corpus, "-o", "made.csv"))
    if corpus == "crema-d":
        yield Call(
            "corpus crema-d, perceived", ("corpus", corpus, corpus, "--labels", "perceived", "-o", "perceived.csv")
        )


def _recipe(mutant: Mutant, bench: Bench, folder: Path, chance: Callable[[float], bool]) -> Iterator[Call]:
    (folder / "recipe.yaml").write_bytes(mutant.data)
    # A manifest that is not there: everything in the recipe is read and checked, and nothing is trained.
    yield Call(
        "train --recipe, checked", ("train", "missing.csv", "--recipe", "recipe.yaml", "-o", "trained"), (REFUSED,)
    )
    yield Call(
        "train --schedule, checked", ("train", "missing.csv", "--schedule", "recipe.yaml", "-o", "trained"), (REFUSED,)
    )
    yield Call(
        "pretrain --recipe, checked",
        ("pretrain", "missing.csv", "--noise", str(bench.noise), "--recipe", "recipe.yaml", "-o", "trained"),
        (REFUSED,),
    )
    if chance(1 / 8):
        yield Call(
            "train --recipe",
            ("train", str(bench.manifest), "--recipe", "recipe.yaml", *TINY, "-o", "trained"),
            examine=lambda text, at: check_run(at / "trained"),
        )
    if chance(1 / 8):
        # Sizes as the recipe says: a model too large must be refused before it is built.
        moderate = (
            "--epochs",
            "1",
            "--batch-size",
            "6",
            "--set",
            "data.workers=0",
            "--set",
            "optimisation.precision=fp32",
            "--device",
            "cpu",
            "--schedule",
            "at-once",
        )
        yield Call(
            "train --recipe, its sizes",
            ("train", str(bench.manifest), "--recipe", "recipe.yaml", *moderate, "-o", "sized"),
            examine=lambda text, at: check_run(at / "sized"),
        )
    if chance(1 / 8):
        (folder / "sertool.yaml").write_bytes(mutant.data)
        yield Call("train, sertool.yaml", ("train", "missing.csv", "-o", "trained-2"), (REFUSED,))
    if chance(1 / 8):
        shutil.copytree(bench.run, folder / "run")
        (folder / "run" / "recipe.yaml").write_bytes(mutant.data)
        arguments = (
            "evaluate",
            str(bench.manifest),
            "--model",
            "run",
            "--snr",
            "clean",
            "--no-speech-metrics",
            "--no-cache",
            "--workers",
            "1",
            "--json",
        )
        yield Call("evaluate, the run's recipe", arguments, examine=check_evaluation(None))


def _model(mutant: Mutant, bench: Bench, folder: Path, chance: Callable[[float], bool]) -> Iterator[Call]:
    shutil.copytree(bench.run, folder / "run")
    model = folder / "run" / "model"
    name = "config.json" if mutant.format == "config" else "model.safetensors"
    if mutant.number % 16 == 0:
        # A link to a file elsewhere is read like a file: hubs' caches are made of them.
        (folder / "elsewhere").write_bytes(mutant.data)
        (model / name).unlink()
        (model / name).symlink_to(folder / "elsewhere")
    else:
        (model / name).write_bytes(mutant.data)
    pickle = b"cos\nsystem\n(S'touch " + bench.sources.places["canary"].encode() + b".ran'\ntR."
    for other in ("pytorch_model.bin", "model.pt", "model.pkl", "optimizer.bin", "training_args.bin", "scheduler.pt"):
        (model / other).write_bytes(pickle)
    (model / "evil.py").write_text(f"open({bench.sources.places['canary'] + '.ran'!r}, 'w')", encoding="utf-8")
    codes = (REFUSED,) if mutant.unusable else (0, 1, 2)
    rows = bench.rows("test")
    yield Call("predict", ("predict", rows[0]["file_name"], "--json", "--model", "run"), codes, check_predictions)
    yield Call(
        "enhance",
        ("enhance", rows[0]["file_name"], "-o", "out/x.wav", "--model", "run"),
        codes,
        lambda text, at: check_enhanced(at / "out"),
    )
    if chance(1 / 8):
        yield Call(
            "extract", ("extract", rows[0]["file_name"], "-o", "f.parquet", "--model", "run"), codes, check_features
        )
    if chance(1 / 8):
        yield Call(
            "predict, model folder",
            ("predict", rows[0]["file_name"], "--json", "--model", "run/model"),
            codes,
            check_predictions,
        )
    if chance(1 / 8):
        yield Call("predict, run at hand", ("predict", rows[0]["file_name"], "--json"), codes, check_predictions)
    if chance(1 / 8):
        arguments = (
            "evaluate",
            _write_rows(folder / "test.csv", rows),
            "--model",
            "run",
            "--snr",
            "clean",
            "--no-speech-metrics",
            "--no-cache",
            "--workers",
            "1",
            "--json",
        )
        yield Call("evaluate", arguments, codes, check_evaluation(None))
    if chance(1 / 16):
        yield Call(
            "train --encoder",
            ("train", str(bench.manifest), "--encoder", "run", *TINY, "-o", "trained"),
            codes,
            lambda text, at: check_run(at / "trained"),
        )


def _record(mutant: Mutant, bench: Bench, folder: Path, chance: Callable[[float], bool]) -> Iterator[Call]:
    shutil.copytree(bench.unfinished, folder / "run")
    part = mutant.attack.split(":")[0]
    if part in ("last/model", "last/optimizer"):
        part = f"last/{state_names(bench.unfinished)[part.removeprefix('last/')]}"
    (folder / "run" / part).write_bytes(mutant.data)
    command = ("train", "--recipe", str(bench.unfinished / "recipe.yaml"), "-o", "run")
    test = _write_rows(folder / "test.csv", bench.rows("test"))
    yield Call(
        "predict",
        ("predict", bench.rows("test")[0]["file_name"], "--json", "--model", "run"),
        examine=check_predictions,
    )
    yield Call(
        "evaluate",
        ("evaluate", test, "--model", "run/model", "--snr", "clean", "--no-speech-metrics", "--workers", "1", "--json"),
        examine=check_evaluation(None),
    )
    yield Call("train, going on", command, examine=lambda text, at: check_run(at / "run"))
    if chance(1 / 8):
        yield Call("train --overwrite", (*command, "--overwrite"), examine=lambda text, at: check_run(at / "run"))


def _journal(mutant: Mutant, bench: Bench, folder: Path, chance: Callable[[float], bool]) -> Iterator[Call]:
    shutil.copytree(bench.mixtures, folder / "mixed")
    (folder / "mixed" / mutant.attack.split(":")[0]).write_bytes(mutant.data)
    (folder / "mixed" / "link").symlink_to(bench.keep)
    command = (
        "mix-noise",
        str(bench.manifest),
        "--split",
        "test",
        "--noise",
        str(bench.noise),
        "--snr",
        "0",
        "--workers",
        "1",
        "-o",
        "mixed",
    )
    yield Call("mix-noise, going on", command, examine=lambda text, at: check_manifest(at / "mixed"))
    yield Call(
        "mix-noise --overwrite", (*command, "--overwrite"), examine=lambda text, at: check_manifest(at / "mixed")
    )
