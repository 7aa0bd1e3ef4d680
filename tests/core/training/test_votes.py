"""Votes as distributions: shares by hand, what does not count, and training on them."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis.strategies import integers, lists

from sertool.core.audio.files import read_audio
from sertool.core.corpus.manifest import Manifest
from sertool.core.errors import InputError
from sertool.core.training.inputs import read_inputs
from sertool.core.training.loop import train_run
from sertool.core.training.recipe import make_recipe
from sertool.core.training.setup import build_model, make_accelerator, make_objective
from sertool.core.training.validation import validate
from sertool.core.training.votes import share_dropped, vote_shares, voted_categories

CATEGORIES = ("anger", "neutral")


def manifest_of(tmp_path, **columns):
    count = len(next(iter(columns.values())))
    return Manifest.from_table(pd.DataFrame({"file_name": [f"{i}.wav" for i in range(count)], **columns}), tmp_path)


def test_shares_by_hand(tmp_path):
    manifest = manifest_of(
        tmp_path,
        emotion=["anger", None, "neutral", None, "calm"],
        votes_anger=[3.0, 1.0, None, 0.0, 0.0],
        votes_neutral=[1.0, 1.0, 0.0, None, 0.0],
        votes_calm=[4.0, 0.0, 0.0, 2.0, 5.0],
    )
    assert voted_categories(manifest) == ("anger", "neutral", "calm")
    expected = [[0.75, 0.25], [0.5, 0.5], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    np.testing.assert_allclose(vote_shares(manifest, CATEGORIES), expected)
    assert share_dropped(manifest, CATEGORIES) == pytest.approx(11 / 17)


@given(counts=lists(lists(integers(0, 9), min_size=2, max_size=2), min_size=1, max_size=8))
def test_shares_sum_to_one_or_to_nothing(counts):
    anger, neutral = map(list, zip(*counts, strict=True))
    manifest = manifest_of("/", votes_anger=anger, votes_neutral=neutral)
    sums = vote_shares(manifest, CATEGORIES).sum(1)
    np.testing.assert_allclose(sums, [float(sum(row) > 0) for row in counts], atol=1e-6)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three pitches; annotators hear the low one as neutral, the high one as anger, and disagree on the middle one."""
    folder = tmp_path_factory.mktemp("voted")
    rows = ["file_name,speaker,split,emotion,votes_anger,votes_neutral,votes_fear"]
    heard = {200: ("neutral", 0, 10), 450: ("", 5, 5), 900: ("anger", 9, 1)}
    for speaker, split in (("a", "train"), ("b", "train"), ("c", "dev")):
        for i in range(9):
            pitch = sorted(heard)[i % 3]
            time = np.arange(9600) / 16000
            soundfile.write(folder / f"{speaker}{i}.wav", 0.2 * np.sin(2 * np.pi * (pitch + 3 * i) * time), 16000)
            label, anger, neutral = heard[pitch]
            rows.append(f"{speaker}{i}.wav,{speaker},{split},{label},{anger},{neutral},1")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def recipe_for(corpus, loss, **emotion):
    return make_recipe(
        {
            "tasks": ["emotion"],
            "data": {"manifests": [str(corpus / "metadata.csv")], "workers": 0},
            "encoder": {"compact": {"dim": 16, "layers": 2, "kernel": 5}},
            "emotion": {"hidden": 16, "dropout": 0.0, "loss": loss, **emotion},
            "optimisation": {"epochs": 25, "batch_size": 6, "learning_rate": 0.01, "warmup_updates": 2},
        }
    )


def test_labels_alone_leave_undecided_utterances_out(corpus):
    inputs = read_inputs(recipe_for(corpus, "cross-entropy"))
    assert len(inputs.train) == 12 and inputs.train.vote_shares.shape == (12, 0)
    assert inputs.counts == {"anger": 6, "neutral": 6}


def test_votes_bring_undecided_utterances_in(corpus):
    inputs = read_inputs(recipe_for(corpus, "kl-divergence"))
    assert len(inputs.train) == 18 and (inputs.train.labels == -1).sum() == 6
    assert inputs.counts == pytest.approx({"anger": 6 * (0.9 + 0.5), "neutral": 6 * (1.0 + 0.1 + 0.5)}, abs=1e-5)
    notes = " / ".join(inputs.notes)
    assert "6 utterances without a label are learned from their votes" in notes
    assert "9.1% of the votes are for other categories" in notes


@pytest.mark.parametrize("loss", ["soft-cross-entropy", "kl-divergence"])
def test_a_model_learns_what_share_of_annotators_hears_a_class(corpus, tmp_path, loss):
    run = train_run(recipe_for(corpus, loss), tmp_path / "run")
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    # Whoever always answers (1/2, 1/2) is this far off: a third each of (0, 1), (.5, .5) and (.9, .1).
    ignorant = (math.log(2) + 0.0 + 0.9 * math.log(1.8) + 0.1 * math.log(0.2)) / 3
    assert lines[-1]["dev"]["vote_kl"] < 0.2 * ignorant
    assert "by the annotators' votes" in (run.folder / "README.md").read_text()


def test_without_labels_the_epoch_is_chosen_by_the_votes(corpus, tmp_path):
    table = pd.read_csv(corpus / "metadata.csv")
    table["file_name"] = [str(corpus / name) for name in table["file_name"]]
    table.loc[table["split"] == "dev", "emotion"] = None
    table.to_csv(tmp_path / "metadata.csv", index=False)
    recipe = recipe_for(tmp_path, "kl-divergence")
    inputs, accelerator = read_inputs(recipe), make_accelerator(recipe)
    model = build_model(recipe, inputs)
    scores = validate(
        model, inputs, recipe, accelerator, make_objective(recipe, inputs, accelerator.device), between=lambda: None
    )
    assert "f1_macro" not in scores and scores["score"] == -scores["vote_kl"]
    shares = torch.from_numpy(inputs.dev.vote_shares)
    expected = []
    for path, share in zip(inputs.dev.paths, shares, strict=True):
        samples = torch.from_numpy(read_audio(path))[None]
        with torch.inference_mode():
            logits = model(samples, torch.tensor([samples.shape[1]])).category_logits
        expected.append(torch.nn.functional.kl_div(logits.log_softmax(1)[0], share, reduction="sum").item())
    assert scores["vote_kl"] == pytest.approx(np.mean(expected), abs=1e-5)


def test_votes_that_are_not_there_are_an_error(corpus, tmp_path):
    table = pd.read_csv(corpus / "metadata.csv")
    table["file_name"] = [str(corpus / name) for name in table["file_name"]]
    table.drop(columns=["votes_anger", "votes_neutral", "votes_fear"]).to_csv(tmp_path / "metadata.csv", index=False)
    with pytest.raises(InputError, match="has no votes, which"):
        read_inputs(recipe_for(tmp_path, "kl-divergence"))


def test_a_class_nobody_heard_is_an_error(corpus):
    with pytest.raises(InputError, match="'boredom' or has votes for it"):
        read_inputs(recipe_for(corpus, "soft-cross-entropy", categories=["anger", "neutral", "boredom"]))
