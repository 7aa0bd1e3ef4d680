"""`sertool masks` as a user calls it."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

from sertool.core.models.config import (
    AdaptConfig,
    BaseConfig,
    CompactConfig,
    EmotionConfig,
    EnhancementConfig,
    RouterConfig,
    SharedConfig,
)
from sertool.core.models.shared import SharedModel

DROPPED = 2 * 2 * 77
"""Connections that a run drops: round(0.3 · 256) of each of two tensors in two layers."""


def make_router_run(folder: Path, seed: int = 0, *, base: str = "0", layers: int = 2, **settings) -> Path:
    """Write a finished run with random masks over an encoder that lies elsewhere."""
    router = RouterConfig(**{"sparsity": 0.3, "init": "uniform", **settings})
    config = SharedConfig(
        encoder=CompactConfig(mels=8, dim=16, layers=layers, kernel=3, expansion=1),
        base=BaseConfig(name=f"runs/denoise-{base}", digest=base * 64),
        adapt=AdaptConfig(how="router", router=router),
        layer_sum="per-head",
        emotion=EmotionConfig(categories=("anger", "neutral"), hidden=4),
        enhancement=EnhancementConfig(projection=4, hidden=4, layers=1),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        SharedModel(config).save_pretrained(folder / "model")
    (folder / "run.json").write_text(json.dumps({"state": "finished"}))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_router_run(folder / "first", 0)
    make_router_run(folder / "second", 1)
    make_router_run(folder / "both", 2, masks="per-head", init="weight-rank")
    return folder


@pytest.fixture
def runs(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_one_run_tells_its_masks_and_their_size(sertool, runs):
    result = sertool("masks", "first")
    assert result.exit_code == 0, result.stderr
    first, second = result.stdout.split("\n\n")
    assert first.splitlines()[-1].split()[:8] == [
        "first",
        "feed-forward",
        "uniform",
        "0.3",
        "4",
        "1024",
        str(DROPPED),
        "128",
    ]
    assert second.splitlines()[1].split() == ["layers.0.expand", "16", "16", "77", "0.3008"]
    assert second.splitlines()[4].split() == ["layers.1.contract", "16", "16", "77", "0.3008"]
    (record,) = map(json.loads, sertool("masks", "first", "--json").stdout.splitlines())
    assert (record["masks"], record["connections"], record["dropped"], record["bytes"]) == ("first", 1024, DROPPED, 128)
    encoder = SharedModel(SharedConfig(encoder=CompactConfig(mels=8, dim=16, layers=2, kernel=3, expansion=1))).encoder
    assert record["share_of_encoder"] == 128 / (4 * sum(p.numel() for p in encoder.parameters()))


def test_every_two_sets_are_compared_by_layer(sertool, runs):
    result = sertool("masks", "first", "second", "both")
    assert result.exit_code == 0, result.stderr
    sets, pairs = result.stdout.split("\n\n")
    assert [line.split()[0] for line in sets.splitlines()[2:]] == [
        "first",
        "second",
        "both/emotion",
        "both/enhancement",
    ]
    lines = [line.split() for line in pairs.splitlines()[2:]]
    assert len(lines) == 6 * 3 + 1 and lines[0][:4] == ["first", "second", "0", "154"]
    assert lines[-1][0] == "*" and "smallest weights at first" in pairs
    assert [line[2] for line in lines[:3]] == ["0", "1", "all"]
    # Both started from the smallest weights, and have not learned.
    own = lines[-2]
    assert own[:3] == ["both/emotion", "both/enhancement", "all"] and own[5:7] == ["1.000", "1.000"]
    assert "smallest weights" not in sertool("masks", "first", "second").stdout
    by_tensor = sertool("masks", "first", "second", "--by", "tensor").stdout
    assert sum("layers.1.contract" in line for line in by_tensor.splitlines()) == 1
    overall = sertool("masks", "first", "second", "--by", "all").stdout.split("\n\n")[1]
    assert len(overall.splitlines()) == 3


def test_json_tells_every_number_and_files_hold_them(sertool, runs):
    result = sertool("masks", "first", "second", "--json", "-o", "overlap.json")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["record"] for record in records] == ["masks"] * 2 + ["overlap"] * (4 + 2 + 1)
    assert json.loads((runs / "overlap.json").read_text()) == records
    overall = records[-1]
    assert (overall["level"], overall["connections"], overall["dropped_first"]) == ("all", 1024, DROPPED)
    assert overall["jaccard"] == overall["dropped_both"] / (2 * DROPPED - overall["dropped_both"])
    assert overall["jaccard_chance_low"] < overall["jaccard_by_chance"] < overall["jaccard_chance_high"]
    assert abs(overall["z"]) < 4 and abs(overall["phi"]) < 0.2
    sertool("masks", "first", "second", "-o", "overlap.csv")
    rows = list(csv.DictReader((runs / "overlap.csv").read_text().splitlines()))
    assert [row["where"] for row in rows] == [record["where"] for record in records[2:]]
    assert float(rows[-1]["phi"]) == overall["phi"]


@pytest.mark.parametrize(("names", "suffix"), [(("first", "second"), "png"), (("first", "both"), "svg")])
def test_a_picture_is_written(sertool, runs, names, suffix):
    result = sertool("masks", *names, "-o", f"pictures/overlap.{suffix}")
    assert result.exit_code == 0, result.stderr
    head = {"png": b"\x89PNG", "svg": b"<?xml"}[suffix]
    assert (runs / "pictures" / f"overlap.{suffix}").read_bytes().startswith(head)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("first", "tiny"), "adapted by 'full', which has no masks; expected a run of `sertool train --adapt router`"),
        (("first", "nowhere"), "no such folder; expected a run"),
        (("first", "first/model"), "is named twice"),
        (("first", "elsewhere"), "lie over different encoders (runs/denoise-0, runs/denoise-1)"),
        (
            ("first", "second", "-o", "overlap.txt"),
            "cannot tell the format; expected a name in .png, .svg, .pdf, .json",
        ),
        (("first", "second", "-o", "there.json"), "exists already"),
        (("first", "-o", "overlap.png"), "expected two: name another run"),
        (("first", "wider"), "does not fit config.json"),
    ],
)
def test_a_wrong_call_ends_in_one_line(sertool, runs, run, assert_one_line, arguments, told):
    shutil.copytree(run, runs / "tiny")
    make_router_run(runs / "elsewhere", base="1")
    (runs / "there.json").write_text("{}")
    shutil.copytree(runs / "first", runs / "wider")
    wider = json.loads((runs / "wider" / "model" / "config.json").read_text())
    wider["encoder"]["dim"] = 24
    (runs / "wider" / "model" / "config.json").write_text(json.dumps(wider))
    assert_one_line(sertool("masks", *arguments), told)
    assert not list(runs.glob("overlap*")) and (runs / "there.json").read_text() == "{}"
