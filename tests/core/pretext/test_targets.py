"""Targets: high and low at medians of the training split, and what is told of them."""

import numpy as np
import pytest

from sertool.core.errors import InputError
from sertool.core.pretext.measuring import Measured
from sertool.core.pretext.targets import (
    Spoken,
    face_report,
    labels_of,
    lines,
    make_table,
    read_targets,
    report,
    write_targets,
)
from sertool.core.training.recipe import make_recipe


def spoken(corpora):
    count = len(corpora)
    return Spoken([f"/{i}.wav" for i in range(count)], np.linspace(1, 2, count), corpora, ["a"] * count, [None] * count)


def table_of(train, dev, tasks=("energy",), **pretext):
    """Return recipe and table of utterances given as pairs of corpus and energy."""
    recipe = make_recipe({"tasks": list(tasks), "pretext": pretext})
    pairs = {"train": train, "dev": dev}
    measured = {name: [Measured(-20.0 - i, energy) for i, (_, energy) in enumerate(one)] for name, one in pairs.items()}
    return recipe, make_table(recipe, {name: spoken([c for c, _ in one]) for name, one in pairs.items()}, measured)


TRAIN = [("1 x", 1.0), ("1 x", 2.0), ("1 x", 3.0), ("1 x", 4.0), ("2 y", 11.0), ("2 y", 12.0), ("2 y", 13.0)]
DEV = [("1 x", 2.6), ("2 y", 11.5), ("3 z", 5.0), ("3 z", 3.0), ("1 x", None)]


def test_each_corpus_is_split_at_its_own_median():
    recipe, table = table_of(TRAIN, DEV)
    assert labels_of(table, recipe, "train")[:, 0].tolist() == [0, 0, 1, 1, 0, 0, 1]
    # A corpus that training lacks is split at the median of all (4.0); what has no energy has no class.
    assert labels_of(table, recipe, "dev")[:, 0].tolist() == [1, 0, 1, 0, -1]
    found = report(recipe, table)["tasks"]["energy"]
    assert found["thresholds"] == {"1 x": 2.5, "2 y": 12.0}
    assert found["balance"]["train"] == {"low": 4, "high": 3, "none": 0}
    assert found["alone"]["level"].keys() & {"accuracy", "why"}


def test_one_median_of_all_tells_corpora_apart():
    recipe, table = table_of(TRAIN, DEV, medians="pooled")
    assert labels_of(table, recipe, "train")[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1]
    found = report(recipe, table)["tasks"]["energy"]
    assert found["thresholds"] == {"1 x": 4.0, "2 y": 4.0}


def test_the_dev_split_moves_no_threshold():
    _, table = table_of(TRAIN, DEV)
    _, other = table_of(TRAIN, [("1 x", 100.0), ("2 y", -5.0)])
    train, others = (
        one[one["split"] == "train"].drop(columns=["activation_problem", "expression_problem"])
        for one in (table, other)
    )
    assert train.equals(others)


def test_what_never_varies_teaches_nothing():
    with pytest.raises(InputError, match="all training utterances are low"):
        table_of([("1 x", 2.0)] * 4, DEV)
    with pytest.raises(InputError, match="no training utterance has a class"):
        table_of([("1 x", None)] * 4, DEV)
    # Level tones, and still faces, differ by rounding alone.
    with pytest.raises(InputError, match="all training utterances are low"):
        table_of([("1 x", 2.0 + i * 1e-15) for i in range(6)], DEV)


def test_a_dev_split_without_classes_is_named_before_training():
    with pytest.raises(InputError, match="no dev utterance has a class of energy"):
        table_of(TRAIN, [("1 x", None)])
    recipe, table = table_of(TRAIN, [("1 x", None)], tasks=("energy", "enhancement"))
    told = lines(report(recipe, table))
    assert "energy: no dev utterance has a class, so that the best epoch is chosen without it" in told
    assert "1 utterances are silent or too short to have an energy variation" in told


def test_when_all_faces_fail_one_is_named():
    recipe = make_recipe({"tasks": ["action-units"]})
    lost = Measured(-20.0, 1.0, expression_problem="out of range", messages={"out of range": "f.csv: 'AU12_r' is 9"})
    with pytest.raises(InputError, match=r"2 faces: out of range, such as f\.csv: 'AU12_r' is 9"):
        make_table(
            recipe,
            {name: spoken(["1 x"] * 2) for name in ("train", "dev")},
            dict.fromkeys(("train", "dev"), [lost] * 2),
        )


def test_faces_left_out_are_told_with_their_reason():
    measured = [
        Measured(-20.0, 1.0, expression_problem="no frame was tracked", messages={"no frame was tracked": "f.csv: no"}),
        Measured(-20.0, 1.0),
    ] * 3
    found = face_report(measured, 4)
    assert found["problems"] == {"no frame was tracked": {"count": 3, "example": "f.csv: no"}}
    assert lines({"tasks": {}, "faces": found}) == ["3 faces: no frame was tracked, such as f.csv: no"]


def test_what_was_written_is_read_back_and_damage_is_named(tmp_path):
    recipe, table = table_of(TRAIN, DEV)
    sizes = {"train": 7, "dev": 5}
    assert read_targets(tmp_path, sizes) is None
    write_targets(tmp_path, table, report(recipe, table))
    again, found = read_targets(tmp_path, sizes)
    for split in sizes:
        assert np.array_equal(labels_of(again, recipe, split), labels_of(table, recipe, split))
    assert found["tasks"].keys() == {"energy"}
    for damage in (b"", b'{"tasks": 3}', b"\xff"):
        (tmp_path / "targets.json").write_bytes(damage)
        with pytest.raises(InputError, match="are damaged"):
            read_targets(tmp_path, sizes)
    write_targets(tmp_path, table, report(recipe, table))
    with pytest.raises(InputError, match="other utterances"):
        read_targets(tmp_path, {"train": 8, "dev": 5})
