"""`sertool train --curriculum`: by a table of scores, by its own loss, or none."""

import json

import numpy as np
import pytest
import soundfile

TINY = [
    *("--task", "emotion", "--epochs", "3", "--batch-size", "4", "--set", "data.workers=0"),
    *("--set", "encoder.compact.dim=8", "--set", "encoder.compact.layers=1", "--set", "emotion.hidden=8"),
    *("--set", "curriculum.bins=2", "--set", "curriculum.epochs_per_bin=1", "--json"),
]


@pytest.fixture
def corpus(tmp_path):
    """Eight utterances to learn from, two to choose by, and scores of all but the last."""
    rows, scores = ["file_name,speaker,split,emotion"], ["file_name,score,metric,target"]
    for i in range(10):
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * np.random.default_rng(i).standard_normal(4000), 16_000)
        rows.append(f"{i}.wav,{i},{'train' if i < 8 else 'dev'},{('anger', 'neutral')[i % 2]}")
        scores.append(f"{i}.wav,{i},deepmi,emotion")
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "scores.csv").write_text("\n".join(scores[:-1]) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "title", "note"),
    [
        (["--curriculum", "scores.csv"], "easy-first by deepmi for emotion", "1 scores are of no training utterance"),
        (["--curriculum", "self-paced"], "self-paced by its own loss", ""),
        (["--curriculum", "none"], "none (utterances drawn anew each epoch, as many as a curriculum's)", ""),
    ],
)
def test_each_is_one_flag_away(sertool, corpus, words, title, note):
    found = sertool("train", "metadata.csv", *TINY, *words, "-o", "run")
    assert found.exit_code == 0, found.stderr
    assert note in found.stderr
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert [line["curriculum"] for line in lines[:3]] == [title] * 3
    assert [line["bins"]["utterances"] for line in lines[:3]] == [4, 8, 8]
    again = sertool("train", "metadata.csv", *TINY, *words, "-o", "run")
    assert "finished already" in again.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--curriculum", "nowhere.csv"], "curriculum 'nowhere.csv' is no file"),
        (["--curriculum", "hard-first"], "name the table, and add --set curriculum.order=hard-first"),
        (["--set", "curriculum.order=hard-first"], "no scores are named"),
        (["--curriculum", "self-paced", "--set", "curriculum.scores=scores.csv"], "makes scores of its own"),
        (["--curriculum", "scores.csv", "--set", "curriculum.epochs_per_bin=3"], "comes in after 3 epochs"),
        (["--curriculum", "metadata.csv"], "has no column 'score'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(sertool, corpus, assert_one_line, words, said):
    found = sertool("train", "metadata.csv", *TINY, *words, "-o", "run")
    assert_one_line(found, said)
    assert not (corpus / "run").exists()
