"""The loop of DeepEmoCluster on a tiny corpus: it learns, stops and goes on, and does not do what it must not."""

import json
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import normalized_mutual_info_score

from sertool.core.clustering import loop, results
from sertool.core.clustering.loop import train_clusters
from sertool.core.clustering.network import ClusterModel
from sertool.core.errors import InputError, SertoolError
from sertool.core.training.run import open_run

FORMS = ("none", "gru", "cnn", "transformer", "triplet")


def lines_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def runs(recipe_of, tmp_path_factory):
    """A finished run of every temporal form, on categories; the vanilla form as published, with two optimizers."""
    folder = tmp_path_factory.mktemp("runs")
    train_clusters(recipe_of(temporal="none", optimisation__optimiser="published"), folder / "none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "draw_page", lambda path, *arguments, **named: path.touch())
        for form in FORMS[1:]:
            train_clusters(recipe_of(temporal=form, optimisation__optimiser="adam"), folder / form)
    return folder


@pytest.fixture
def without_page(monkeypatch):
    """A page is a second's work, which only the runs above are for."""
    monkeypatch.setattr(results, "draw_page", lambda path, *arguments, **named: path.touch())


@pytest.mark.parametrize("form", FORMS)
def test_a_run_leaves_a_model_its_history_and_its_clusters(runs, form):
    run = open_run(runs / form)
    assert run.finished and run.record["kind"] == "clusters"
    assert not (runs / form / "cache").exists()
    chunks = pd.read_parquet(runs / form / "chunks.parquet")
    utterances = pd.read_parquet(runs / form / "utterances.parquet")
    # One of 1.5 s is cut into three sentences of at most .576 s; nobody of the test split is there.
    assert len(chunks) == 3 * (10 + 5 + 6 + 2)
    assert len(utterances) == 21 and not utterances["file_name"].str.startswith("d").any()
    assert chunks["cluster"].between(0, 2).all()
    shares = utterances[["share_0", "share_1", "share_2"]].to_numpy()
    assert shares.sum(1) == pytest.approx(1)
    of_u3 = chunks[chunks["file_name"] == "u3.wav"]
    assert utterances.set_index("file_name").loc["u3.wav", "share_1"] == pytest.approx((of_u3["cluster"] == 1).mean())
    assert (of_u3["start_s"].min(), of_u3["end_s"].max()) == (0, pytest.approx(1.5, abs=0.02))
    analysis = json.loads((runs / form / "analysis.json").read_text())
    assert set(analysis["parts"]) == {"train", "dev"} and analysis["parts"]["dev"]["chunks"] == 15
    assert (runs / form / "analysis.png").stat().st_size > (10_000 if form == "none" else -1)


def test_nmi_is_that_of_scikit_learn_between_successive_clusterings(recipe_of, tmp_path, monkeypatch, without_page):
    assigned = []

    class Noted(loop.ClusterTraining):
        def _learn(self, name, epoch):
            assigned.append((name, self.assigned[name].numpy().ravel().copy()))
            super()._learn(name, epoch)

    monkeypatch.setattr(loop, "ClusterTraining", Noted)
    train_clusters(recipe_of(), tmp_path / "run")
    first, second = (labels for name, labels in assigned if name == "train")
    told = [line["clusters"]["train"]["nmi"] for line in lines_of(tmp_path / "run")]
    assert told == [None, pytest.approx(normalized_mutual_info_score(first, second))]


def test_every_weight_moves_the_regressors_too(recipe_of, tmp_path, monkeypatch, without_page):
    starts = []

    class Noted(loop.ClusterTraining):
        def go(self):
            starts.append({name: tensor.clone() for name, tensor in self.bare.own_state().items()})
            return super().go()

    monkeypatch.setattr(loop, "ClusterTraining", Noted)
    train_clusters(recipe_of(attributes=["arousal"], optimisation__optimiser="published"), tmp_path / "run")
    ends = load_file(tmp_path / "run" / "last" / next((tmp_path / "run" / "last").glob("model-*")).name)
    unmoved = [name for name, start in starts[0].items() if torch.equal(start, ends[name])]
    assert [name for name in unmoved if name.endswith(("weight", "bias"))] == []
    assert any(name.startswith("regressor") for name in ends)


def test_unlabelled_speech_leaves_the_regressor_alone(recipe_of, tmp_path, monkeypatch, without_page):
    changed = []

    class Noted(loop.ClusterTraining):
        def _learn(self, name, epoch):
            before = [one.clone() for one in self.bare.regressor.parameters()]
            super()._learn(name, epoch)
            after = list(self.bare.regressor.parameters())
            changed.append((name, any(not torch.equal(*pair) for pair in zip(before, after, strict=True))))

    monkeypatch.setattr(loop, "ClusterTraining", Noted)
    train_clusters(recipe_of(optimisation__weight_decay=0.1), tmp_path / "run")
    assert changed == [("unlabelled", False), ("train", True)] * 2


def test_the_top_layer_begins_anew_at_every_clustering(recipe_of, tmp_path, monkeypatch, without_page):
    resets = []
    reset = ClusterModel.reset_top
    monkeypatch.setattr(ClusterModel, "reset_top", lambda model, generator: resets.append(1) or reset(model, generator))
    train_clusters(recipe_of(), tmp_path / "run")
    assert len(resets) == 4  # unlabelled and labelled, two epochs


def test_labels_are_learned(recipe_of, tmp_path, without_page):
    run = train_clusters(
        recipe_of(clusters=0, optimisation__epochs=12, optimisation__learning_rate=0.01, dropout=0.0), tmp_path / "run"
    )
    lines = lines_of(run.folder)
    assert lines[-1]["train"]["train_category"] < 0.3 * lines[0]["train"]["train_category"]
    assert run.record["summary"]["dev"]["f1_macro"] == 1.0
    assert lines[0]["clusters"] == {} and not (run.folder / "chunks.parquet").exists()


def test_several_attributes_at_once(recipe_of, tmp_path, without_page):
    run = train_clusters(recipe_of(attributes=["arousal", "valence"]), tmp_path / "run")
    dev = run.record["summary"]["dev"]
    assert dev["score"] == pytest.approx((dev["ccc_arousal"] + dev["ccc_valence"]) / 2)


class _Interrupted(loop.ClusterTraining):
    """Presses Ctrl-C when so many updates are done."""

    after = 0

    def _update(self, name, picks):
        told = super()._update(name, picks)
        if self.counters["updates"] + 1 == self.after:
            signal.raise_signal(signal.SIGINT)
        return told


@pytest.mark.parametrize("form", ["none", "triplet"])
def test_interrupted_and_run_again_it_ends_the_same(runs, recipe_of, tmp_path, monkeypatch, without_page, form):
    optimiser = "published" if form == "none" else "adam"
    recipe = recipe_of(temporal=form, optimisation__optimiser=optimiser)
    for after in (1, 3, 4, 7):
        monkeypatch.setattr(_Interrupted, "after", after)
        monkeypatch.setattr(loop, "ClusterTraining", _Interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_clusters(recipe, tmp_path / "run")
    monkeypatch.setattr(_Interrupted, "after", 0)
    train_clusters(recipe, tmp_path / "run")
    for file in (runs / form).rglob("*"):
        if file.is_file():
            again = tmp_path / "run" / file.relative_to(runs / form)
            same = again.read_bytes().replace(b"/run/", b"/") == file.read_bytes()
            assert same or file.suffix == ".png" or file.name == "README.md", file.name


def test_finished_it_is_not_done_again_and_other_inputs_are_refused(runs, recipe_of, monkeypatch):
    monkeypatch.setattr(loop, "_train", None)
    assert train_clusters(recipe_of(temporal="gru"), runs / "gru").finished
    with pytest.raises(InputError, match=r"other inputs \(seed differ"):
        train_clusters(recipe_of(temporal="gru", seed=1), runs / "gru")


def test_more_clusters_than_chunks_is_an_error(recipe_of, tmp_path, without_page):
    with pytest.raises(InputError, match=r"31 clusters of 24 unlabelled chunks.*lower --clusters"):
        train_clusters(recipe_of(clusters=31), tmp_path / "run")


def test_empty_clusters_are_told_and_harmless(recipe_of, tmp_path, monkeypatch, without_page):
    notes = []

    class Notes(loop.Silent):
        def note(self, message):
            notes.append(message)

    monkeypatch.setattr(
        loop, "assign", lambda points, centroids, device: (torch.from_numpy(np.arange(len(points)) % 2), None)
    )
    train_clusters(recipe_of(optimisation__epochs=1), tmp_path / "run", reporter=Notes())
    assert "epoch 1: 1 of 3 train clusters are empty" in notes
    assert lines_of(tmp_path / "run")[0]["clusters"]["train"]["empty"] == 1


def test_of_one_speaker_it_says_so(recipe_of, corpus, tmp_path, without_page):
    table = pd.read_csv(corpus / "labelled.csv")
    table[table["speaker"] != "b"].to_csv(corpus / "one.csv", index=False)
    notes = []

    class Notes(loop.Silent):
        def note(self, message):
            notes.append(message)

    train_clusters(
        recipe_of(data__labelled=[str(corpus / "one.csv")], optimisation__epochs=1), tmp_path / "run", reporter=Notes()
    )
    assert any("of one speaker (a)" in note for note in notes)


def test_a_model_that_diverges_is_stopped_at_once(recipe_of, tmp_path, monkeypatch, without_page):
    class Poisoned(loop.ClusterTraining):
        def _update(self, name, picks):
            if self.counters["updates"] == 3:
                with torch.no_grad():
                    self.bare.regressor[-1].bias.fill_(float("nan"))
            return super()._update(name, picks)

    monkeypatch.setattr(loop, "ClusterTraining", Poisoned)
    with pytest.raises(SertoolError, match=r"the loss is nan at update 3: lower optimisation\.learning_rate"):
        train_clusters(recipe_of(attributes=["arousal"]), tmp_path / "run")
