"""What results say of their origin."""

import json
from importlib.metadata import version

from sertool.core.corpus.babble import BabbleSet
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import parse_snr
from sertool.core.corpus.mixtures import MixtureRequest, make_mixtures, open_plan
from sertool.core.corpus.reverberation import Reverberation, RirSet
from sertool.core.evaluation.by_snr import prepare_evaluation
from sertool.core.evaluation.protocol import Protocol
from sertool.core.evaluation.provenance import portable
from sertool.core.training.recipe import Recipe


def test_no_path_of_the_machine_is_kept(tmp_path):
    tree = {"a": [str(tmp_path / "runs" / "x"), "/elsewhere/noise"], "b": ("../shared", "word", 1, None, True)}
    assert portable(tree, tmp_path) == {"a": ["runs/x", "noise"], "b": ["../shared", "word", 1, None, True]}


def test_origin_names_data_model_noise_and_versions(corpus, noise, run, protocol):
    provenance = prepare_evaluation(corpus, run, protocol(noise, seed=7)).provenance
    assert provenance["seed"] == 7
    assert provenance["data"] == {
        "manifest": "metadata.csv",
        "utterances": 6,
        "speakers": 2,
        "utterances_of_unknown_speakers": 0,
        "categories": {"anger": 2, "neutral": 2, "sadness": 2},
        "genders": {},
        "splits": {
            "test": {"utterances": 6, "speakers": 2, "hours": None},
            "train": {"utterances": 1, "speakers": 1, "hours": None},
        },
        "excluded": {},
        "absent_categories": [],
        "closed_set": False,
    }
    assert provenance["noise"]["kinds"] == ["hiss", "hum"]
    assert provenance["noise"]["recordings"] == 3
    assert provenance["model"]["name"] == "tiny"
    assert provenance["model"]["categories"] == ["anger", "neutral", "sadness"]
    assert provenance["model"]["recipe"]["seed"] == Recipe().seed
    assert provenance["versions"]["pesq"] == version("pesq")
    assert str(corpus.parent) not in json.dumps(provenance)
    assert provenance["system"] == {"kind": "run", "name": "tiny"}
    assert provenance["seen_utterances"] == 0


def test_levels_babble_and_rooms_are_told(corpus, noise, run, protocol, talkers, room_folder):
    plain = prepare_evaluation(corpus, run, protocol(noise)).provenance["noise"]
    assert plain["speech_level"] == "utterance" and not {"babble", "rooms", "clean_reference"} & plain.keys()
    babble, rirs = BabbleSet.read(talkers, talkers=3), RirSet.read(room_folder)
    rooms = Reverberation(rirs, reference="early")
    evaluation = prepare_evaluation(
        corpus, run, protocol(noise, speech_level="active", babble=babble, reverberation=rooms)
    )
    told = evaluation.provenance["noise"]
    assert told["kinds"] == ["hiss", "hum", "babble"] and told["speech_level"] == "active"
    assert told["babble"] == {"utterances": 16, "talkers": 3, "digest": babble.digest}
    assert told["rooms"] == {"rooms": 3, "responses": 9, "digest": rirs.digest}
    assert told["clean_reference"] == "early"
    notes = " ".join(evaluation.notes)
    assert "ITU-T P.56" in notes and "reverberant speech and noise" in notes and "50 ms of reflections" in notes
    alone = prepare_evaluation(corpus, run, protocol(None, babble=babble)).provenance["noise"]
    assert (alone["kinds"], alone["recordings"], alone["digest"]) == (["babble"], 0, None)


def test_what_mixtures_made_beforehand_are_is_said_too(corpus, noise, run, protocol, room_folder, tmp_path):
    rooms = Reverberation(RirSet.read(room_folder))
    manifest, noise_set = Manifest.read(corpus), protocol(noise).noise
    request = MixtureRequest(manifest, noise_set, parse_snr(["0"]), level="active", reverberation=rooms)
    mixed = make_mixtures(open_plan(request, tmp_path / "mixed")).manifest_path
    notes = " ".join(prepare_evaluation(mixed, run, Protocol()).notes)
    assert "SNRs take the level of the speech while somebody speaks (ITU-T P.56)" in notes
    assert "Mixtures sound in rooms" in notes and "the direct sound alone" in notes


def test_speakers_of_one_name_in_two_corpora_are_two(corpus, noise, run, protocol, tmp_path):
    table = Manifest.read(corpus).rebased(tmp_path).table
    table["corpus"] = ["here"] * 3 + ["there"] * (len(table) - 3)
    several = Manifest.from_table(table, tmp_path)
    pairs = table[table["split"] == "test"][["corpus", "speaker"]].drop_duplicates()
    data = prepare_evaluation(several, run, protocol(noise)).provenance["data"]
    assert data["speakers"] == len(pairs) > pairs["speaker"].nunique()
