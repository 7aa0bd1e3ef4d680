"""The noise a recipe names: train and dev apart, babble among the audio heard, rooms kept back where there are some."""

import json

import numpy as np
import pandas as pd
import pytest

from sertool.core.audio.files import audio_digest, write_audio
from sertool.core.corpus.babble import BabbleSet
from sertool.core.corpus.batches import Augmentation, Pick, UtteranceDataset
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import measure_snr
from sertool.core.corpus.mixtures import MixtureRequest, make_mixtures, open_plan
from sertool.core.corpus.snr import parse_snr
from sertool.core.errors import InputError
from sertool.core.training.inputs import read_inputs
from sertool.core.training.recipe import make_recipe

RATE = 16_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A manifest of twelve utterances of three speakers, one of them for dev, and a folder of noise."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = np.random.default_rng(1)
    rows = ["file_name,speaker,split,emotion"]
    for speaker, split in (("a", "train"), ("b", "train"), ("c", "dev")):
        for number in range(4):
            write_audio(folder / f"{speaker}{number}.wav", 0.1 * generator.standard_normal(8000), RATE)
            rows.append(f"{speaker}{number}.wav,{speaker},{split},{('anger', 'neutral')[number % 2]}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    (folder / "noise" / "hiss").mkdir(parents=True)
    for number in range(12):
        write_audio(folder / "noise" / "hiss" / f"{number}.wav", 0.1 * generator.standard_normal(RATE), RATE)
    return folder


def _recipe(corpus, manifest=None, **noise):
    return make_recipe(
        {"data": {"manifests": [str(manifest or corpus / "metadata.csv")], "workers": 0}, "noise": noise, "seed": 3}
    )


def _split_talkers(talkers, folder):
    table = Manifest.read(talkers).rebased(folder).table
    table = table.assign(split=["train"] * 8 + ["dev"] * 6 + ["test"] * 2)
    table.to_csv(folder / "split.csv", index=False)
    return folder / "split.csv"


def test_babble_alone_is_noise_enough_and_counts_as_heard(corpus, talkers, tmp_path):
    source = _split_talkers(talkers, tmp_path)
    inputs = read_inputs(_recipe(corpus, babble=str(source), talkers=3, dev_snr_db=["0"]))
    sets = [inputs.train_mixer.babble, inputs.dev_mixer.babble]
    assert [len(one) for one in sets] == [8, 6] and [one.talkers for one in sets] == [3, 3]
    assert not {file.digest for file in sets[0].files} & {file.digest for file in sets[1].files}
    assert inputs.noise_kinds == ("babble",) and inputs.dev_snrs == (0.0,)
    assert {"babble", "dev babble"} <= inputs.identity.keys() and "noise" not in inputs.identity
    digests = [audio_digest(path) for path in Manifest.read(source).paths()]
    # The test speakers' babble was not heard; all the other was.
    assert [digest in inputs.seen_audio for digest in digests] == [True] * 14 + [False] * 2


def test_babble_without_splits_keeps_some_utterances_for_dev(corpus, talkers):
    inputs = read_inputs(_recipe(corpus, source=str(corpus / "noise"), babble=str(talkers), talkers=2))
    train, dev = inputs.train_mixer.babble, inputs.dev_mixer.babble
    assert len(train) + len(dev) == 16 and not {file.name for file in train.files} & {file.name for file in dev.files}
    assert any(f"{len(dev)} of its 16 utterances are kept for babble" in note for note in inputs.notes)
    assert inputs.noise_kinds == ("babble", "hiss")


def test_too_few_talkers_for_dev_are_named(corpus, talkers):
    with pytest.raises(InputError, match=r"talkers\.csv: holds speech of \d talkers; expected 6 or more"):
        read_inputs(_recipe(corpus, babble=str(talkers)))


def test_twins_of_babble_in_train_and_dev_are_refused(corpus, talkers, tmp_path):
    source = _split_talkers(talkers, tmp_path)
    table = pd.read_csv(source)
    (tmp_path / "twin.flac").write_bytes((talkers.parent / "s0" / "0.flac").read_bytes())
    table.loc[8, "file_name"] = str(tmp_path / "twin.flac")
    table.to_csv(source, index=False)
    with pytest.raises(InputError, match=r"1 recordings kept for dev are in training under another name, such as"):
        read_inputs(_recipe(corpus, babble=str(source), talkers=2))


def test_rooms_levels_and_references_reach_the_mixers(corpus, room_folder):
    source = {"source": str(corpus / "noise"), "rir": str(room_folder / "room-0"), "speech_level": "active"}
    inputs = read_inputs(_recipe(corpus, **source, reverb_share=0.5, clean_reference="early"))
    train, dev = inputs.train_mixer, inputs.dev_mixer
    assert (train.level, dev.level) == ("active", "active")
    assert (train.reverberation.share, dev.reverberation.share) == (0.5, 1.0)
    assert (train.reverberation.reference, dev.reverberation.reference) == ("early", "early")
    assert {"rooms", "dev rooms", "noise", "dev noise"} <= inputs.identity.keys()
    # There is one room only: said, not hidden.
    assert train.reverberation.rirs.digest == dev.reverberation.rirs.digest
    assert any("the dev split sounds in the rooms of training" in note for note in inputs.notes)


def test_where_there_are_rooms_enough_some_are_kept_for_dev(corpus, room_folder, tmp_path):
    for number in range(12):
        (tmp_path / f"hall-{number}").mkdir()
        for path in (room_folder / "room-0").iterdir():
            (tmp_path / f"hall-{number}" / path.name).write_bytes(path.read_bytes())
    inputs = read_inputs(_recipe(corpus, source=str(corpus / "noise"), rir=str(tmp_path)))
    train, dev = (mixer.reverberation.rirs for mixer in (inputs.train_mixer, inputs.dev_mixer))
    assert not set(train.rooms) & set(dev.rooms) and len(train.rooms) + len(dev.rooms) == 12
    assert not any("rooms of training" in note for note in inputs.notes)


def test_training_examples_are_mixed_in_rooms_and_stay_pairs(corpus, room_folder):
    settings = {"rir": str(room_folder), "snr_db": ["5"], "clean_share": 0.0}
    inputs = read_inputs(_recipe(corpus, source=str(corpus / "noise"), **settings))
    dataset = UtteranceDataset(inputs.train, inputs.train_mixer, Augmentation(), 3)
    for index in range(4):
        example = dataset[Pick(index, 1)]
        noisy, clean = example.noisy, example.clean
        assert len(noisy) == len(clean) == 8000
        again = dataset[Pick(index, 1)]
        assert noisy.tobytes() == again.noisy.tobytes() and clean.tobytes() == again.clean.tobytes()
        assert measure_snr(noisy, clean) < 4.5  # the reference is quieter than the reverberant speech


def test_rooms_without_noise_are_refused(corpus, room_folder):
    with pytest.raises(InputError, match=r"noise\.rir names rooms, but there is no noise"):
        read_inputs(_recipe(corpus, rir=str(room_folder)))


def test_babble_of_mixtures_made_beforehand_counts_as_heard(corpus, talkers, tmp_path):
    request = MixtureRequest(
        Manifest.read(corpus / "metadata.csv"), None, parse_snr(["5"]), babble=BabbleSet.read(talkers, talkers=2)
    )
    manifest = make_mixtures(open_plan(request, tmp_path / "noisy")).manifest_path
    inputs = read_inputs(_recipe(corpus, manifest))
    named = {name for text in Manifest.read(manifest).table["babble_files"] for name in json.loads(text)}
    assert {audio_digest(name) for name in named} <= inputs.seen_audio and inputs.noise_kinds == ("babble",)
    table = pd.read_csv(manifest)
    table.loc[0, "babble_files"] = json.dumps(["/gone/away.flac"])
    table.to_csv(manifest, index=False)
    notes = read_inputs(_recipe(corpus, manifest)).notes
    assert any("1 utterances" in note and "/gone/away.flac" in note for note in notes)
    table.loc[0, "babble_files"] = "away.flac"
    table.to_csv(manifest, index=False)
    with pytest.raises(InputError, match=r"'babble_files' holds 'away\.flac'; expected a JSON list"):
        read_inputs(_recipe(corpus, manifest))
