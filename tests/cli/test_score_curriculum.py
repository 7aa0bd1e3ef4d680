"""`sertool score-curriculum` as a user calls it."""

import csv
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from sertool.core.audio.files import write_audio

WORDS = ("anger", "neutral", "sadness")
ROWS = [(f"wav/{number:02d}.wav", f"s{number // 5}", WORDS[number % 3], number % 7 + 1) for number in range(25)]


@pytest.fixture
def manifest(tmp_path) -> Path:
    """Five speakers, three categories, valence, votes; the last speaker is the test split."""
    lines = ["file_name,speaker,split,emotion,valence,votes_anger,votes_neutral"]
    for number, (name, speaker, word, valence) in enumerate(ROWS):
        split = "test" if speaker == "s4" else "train"
        lines.append(f"{name},{speaker},{split},{word},{valence},{number % 4},{1 + number % 3}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "metadata.csv"


@pytest.fixture(autouse=True)
def cluster_run(monkeypatch) -> None:
    """Stand in for a cluster model: a file's cluster is its number's remainder."""

    def cluster_utterances(folder, manifest, *, device="cpu", done=lambda count: None):
        numbers = np.array([int(Path(name).stem) for name in manifest.table["file_name"]])
        vectors = np.random.default_rng(0).standard_normal((25, 4)).astype(np.float32)[numbers]
        clusters = numbers % 3 * (numbers % 2)
        return SimpleNamespace(
            paths=manifest.paths(), cluster=clusters, vectors=vectors, estimates=None, targets=(), posterior=None
        )

    stand_in = ModuleType("assignments")
    stand_in.cluster_utterances = cluster_utterances
    monkeypatch.setitem(sys.modules, "sertool.core.clustering.assignments", stand_in)


@pytest.fixture
def short_page(monkeypatch) -> None:
    """Write a word in place of the page, which takes its time to draw."""

    def draw_page(path, curriculum):
        Path(path).write_text(str(curriculum.facts))

    monkeypatch.setattr("sertool.core.curriculum.page.draw_page", draw_page)


def rows(path: Path | str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_is_all_of_stdout_and_the_page_lies_beside_it(sertool, manifest, tmp_path):
    result = sertool("score-curriculum", manifest, "--cluster-run", "run", "--bins", 4, "-o", "out/scores.csv")
    assert (result.exit_code, result.stdout) == (0, "out/scores.csv\n"), result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scores.csv", "scores.png"]
    table = rows("out/scores.csv")
    columns = ["file_name", "score", "rank", "bin", "metric", "target", "speaker", "emotion"]
    assert list(table[0]) == [*columns, "cluster", "pmi", "mi_cluster", "mi_prediction", "made_with"]
    assert {row["file_name"] for row in table} == {f"{tmp_path}/wav/{number:02d}.wav" for number in range(20)}
    assert [int(row["rank"]) for row in table] == list(range(20))
    assert [int(row["bin"]) for row in table] == [number // 5 + 1 for number in range(20)]
    for told in ("20 utterances of the training split", "nats", "distinct scores"):
        assert told in result.stderr


@pytest.mark.parametrize("metric", ["deepmi", "pmi", "disagreement", "teacher-loss", "mc-dropout", "random"])
def test_every_metric_gives_the_same_bytes_twice(sertool, manifest, metric, short_page):
    call = ("score-curriculum", manifest, "--metric", metric, "--cluster-run", "run")
    for name in ("first.csv", "second.csv"):
        assert sertool(*call, "-o", name).exit_code == 0
    assert Path("first.csv").read_bytes() == Path("second.csv").read_bytes()
    assert {row["metric"] for row in rows("first.csv")} == {metric}
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    assert sertool(*call, "-o", "third.csv").exit_code == 0
    assert Path("first.csv").read_bytes() == Path("third.csv").read_bytes()


def test_json_tells_what_was_found(sertool, manifest, short_page):
    result = sertool("score-curriculum", manifest, "--cluster-run", "run", "--target", "valence", "--json")
    told = json.loads(result.stdout)
    assert told["scores"] == "scores.csv" and told["page"] == "scores.png"
    assert (told["metric"], told["target"], told["utterances"], told["alpha"]) == ("deepmi", "valence", 20, 0.5)
    assert told["speakers_by_fold"] == [1, 1, 1, 1] and told["distinct_scores"] <= 20
    assert told["mi_cluster_nats"] > 0 and told["predictions"] == "out-of-fold"


def test_what_is_there_already_stays_unless_it_is_the_same(sertool, manifest, tmp_path, short_page):
    call = ("score-curriculum", manifest, "--metric", "random")
    assert sertool(*call).exit_code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "scores.csv", tmp_path / "scores.png")}
    again = sertool(*call)
    assert (again.exit_code, again.stdout) == (0, "scores.csv\n") and "holds these very scores" in again.stderr
    for other in (("--seed", 1), ("--bins", 5), ("--metric", "disagreement")):
        result = sertool(*call, *other)
        assert result.exit_code == 2 and result.stdout == ""
        assert "scores.csv: holds other scores: move it, choose another place with -o, or say --overwrite" in (
            result.stderr
        )
    assert {path: path.read_bytes() for path in before} == before
    assert sertool(*call, "--seed", 1, "--overwrite").exit_code == 0
    assert all(path.read_bytes() != content for path, content in before.items())
    (tmp_path / "scores.png").unlink()
    assert sertool(*call, "--seed", 1).exit_code == 0 and (tmp_path / "scores.png").exists()


def test_scores_of_another_metric_are_told_before_anything_is_computed(
    sertool, manifest, monkeypatch, assert_one_line, short_page
):
    from sertool.core.curriculum import scoring

    assert sertool("score-curriculum", manifest, "--metric", "random").exit_code == 0
    monkeypatch.setattr(scoring, "score", None)
    result = sertool("score-curriculum", manifest, "--metric", "disagreement")
    assert_one_line(result, "scores.csv: holds other scores")


def test_a_picture_or_table_of_another_kind_is_not_lost(sertool, manifest, tmp_path, assert_one_line):
    (tmp_path / "scores.png").write_bytes(b"holiday")
    call = ("score-curriculum", manifest, "--metric", "random")
    assert_one_line(sertool(*call), "scores.png: exists already")
    (tmp_path / "notes.csv").write_text("day,what\n1,rain\n")
    assert_one_line(sertool(*call, "-o", "notes.csv"), "notes.csv: holds something else")
    assert_one_line(sertool(*call, "-o", "metadata.csv", "--overwrite"), "is the manifest itself")
    assert (tmp_path / "scores.png").read_bytes() == b"holiday" and not (tmp_path / "scores.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--metric deepmi without a cluster run; expected one made by 'sertool cluster'"),
        (("--metric", "loudness"), "loudness"),
        (("--metric", "random", "-o", "scores.txt"), "scores.txt: is no name of a table of scores"),
        (("--metric", "random", "-o", "folder.csv"), "folder.csv: is a folder"),
        (("--metric", "random", "--split", "dev"), "no utterance is in split 'dev'; splits found: test, train"),
        (("--metric", "random", "--target", "arousal"), "has no 'arousal'"),
        (("--metric", "random", "--bins", "21"), "--bins 21: are more than the 20 utterances"),
        (("--metric", "teacher-loss", "--teacher", "nowhere"), "nowhere: no such folder; expected a run"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(sertool, manifest, tmp_path, assert_one_line, arguments, told):
    (tmp_path / "folder.csv").mkdir()
    assert_one_line(sertool("score-curriculum", manifest, *arguments), told)
    assert not (tmp_path / "scores.csv").exists() and not (tmp_path / "scores.png").exists()


def test_manifests_that_give_nothing_to_score(sertool, manifest, tmp_path, assert_one_line):
    call = ("score-curriculum", manifest, "--cluster-run", "run")
    lines = manifest.read_text()
    manifest.write_text(lines.splitlines()[0] + "\n")
    assert_one_line(sertool(*call), "holds no utterances")
    manifest.write_text(
        lines.replace("neutral,", "anger,").replace("sadness,", "anger,").replace("votes_anger,", "votes_fear,")
    )
    assert_one_line(sertool(*call), "all 20 utterances are 'anger' of emotion")
    assert_one_line(sertool("score-curriculum", "nothing.csv"), "without a cluster run")
    assert_one_line(sertool("score-curriculum", "nothing.csv", "--metric", "random"), "nothing.csv: no such file")


def test_a_folder_that_refuses_is_told(sertool, manifest, tmp_path, assert_one_line):
    (tmp_path / "file").write_text("")
    result = sertool("score-curriculum", manifest, "--metric", "random", "-o", "file/scores.csv")
    assert result.exit_code == 2 and result.stdout == "" and "cannot be written" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_trained_run_can_be_the_teacher(sertool, run, tmp_path, short_page):
    lines = ["file_name,emotion"]
    for number in range(4):
        samples = np.random.default_rng(number).standard_normal(4000).astype(np.float32) / 10
        write_audio(tmp_path / f"{number}.wav", samples, 16_000)
        lines.append(f"{number}.wav,{WORDS[number % 3]}")
    (tmp_path / "speech.csv").write_text("\n".join(lines) + "\n")
    call = ("score-curriculum", "speech.csv", "--metric", "teacher-loss", "--teacher", run, "--bins", 2)
    result = sertool(*call, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert all(float(row["score"]) < 0 for row in rows("scores.csv")) and len(rows("scores.csv")) == 4
    assert "knows them by heart" in result.stderr
