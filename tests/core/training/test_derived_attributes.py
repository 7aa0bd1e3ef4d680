"""A run that learns attributes derived from categories says so, wherever its scores go."""

import json

import pytest

from sertool.core.corpus.derived_attributes import DERIVED
from sertool.core.training.inputs import read_inputs
from sertool.core.training.loop import train_run
from sertool.core.training.recipe import make_recipe


def train(corpus, folder, source):
    """Train on the corpus's attributes, which come from this source; None where the manifest does not say."""
    rows = (corpus / "metadata.csv").read_text().splitlines()
    if source is not None:
        rows = [f"{row},{source if i else 'attributes_source'}" for i, row in enumerate(rows)]
    folder.mkdir()
    manifest = folder / "metadata.csv"
    manifest.write_text("\n".join([rows[0], *(f"{corpus}/{row}" for row in rows[1:])]) + "\n")
    recipe = make_recipe(
        {
            "tasks": ["emotion"],
            "data": {"manifests": [str(manifest)], "workers": 0},
            "encoder": {"compact": {"dim": 8, "layers": 1, "kernel": 3}},
            "emotion": {"hidden": 8, "categories": [], "attributes": ["arousal"]},
            "optimisation": {"epochs": 1, "batch_size": 6},
        }
    )
    return train_run(recipe, folder / "run"), read_inputs(recipe)


@pytest.mark.parametrize(("source", "name"), [(DERIVED, "ccc_arousal_derived"), (None, "ccc_arousal")])
def test_it_says_so_everywhere(corpus, tmp_path, source, name):
    run, inputs = train(corpus, tmp_path / "corpus", source)
    record = json.loads((run.folder / "run.json").read_text())
    assert record["attributes"] == (source or "rated")
    assert set(record["summary"]["dev"]) == {name, "score"}
    assert set(json.loads((run.folder / "metrics.jsonl").read_text())["dev"]) == {name, "score"}
    card = (run.folder / "README.md").read_text()
    assert f"- Attributes (1–7): arousal; {source or 'rated'}." in card
    assert ("a score of categories" in card) == bool(source)
    assert any("a score of categories" in note for note in inputs.notes) == bool(source)
