"""What a model must not have heard stops an evaluation, or is said."""

import numpy as np
import pytest

from sertool.core.audio.files import audio_digest, write_audio
from sertool.core.corpus.babble import BabbleSet
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import parse_snr
from sertool.core.corpus.mixtures import MixtureRequest, make_mixtures, open_plan
from sertool.core.corpus.noise import NoiseSet
from sertool.core.errors import InputError
from sertool.core.evaluation.by_snr import evaluate
from sertool.core.evaluation.protocol import Protocol


def test_test_utterances_among_seen_audio_stop_the_evaluation(corpus, noise, tmp_path, protocol, make_run):
    seen = audio_digest(corpus.parent / "s1/u3.wav")
    run = make_run(tmp_path / "run", seen=["0" * 32, seen])
    with pytest.raises(InputError, match=r"learned from 1 of the 6 test utterances, first s1/u3.wav.*--allow-seen"):
        evaluate(corpus, run, protocol(noise, measures=()))
    results = evaluate(corpus, run, protocol(noise, measures=(), allow_seen=True))
    assert results.provenance["seen_utterances"] == 1
    assert any("learned from 1 of these 6" in note for note in results.notes)
    assert set(results.table.loc[results.table["seen"], "file"]) == {"s1/u3.wav"}


def test_a_model_without_its_run_cannot_rule_a_leak_out_and_says_so(corpus, noise, tmp_path, protocol, save_model):
    results = evaluate(corpus, save_model(tmp_path / "bare"), protocol(noise, measures=()))
    assert results.provenance["seen_utterances"] is None
    assert any("does not say what it learned from" in note for note in results.notes)


def test_a_run_that_lost_its_list_of_seen_audio_is_refused(corpus, noise, tmp_path, protocol, make_run):
    run = make_run(tmp_path / "run")
    (run / "seen_audio.txt").unlink()
    with pytest.raises(InputError, match="seen_audio"):
        evaluate(corpus, run, protocol(noise))


@pytest.mark.parametrize("shared", ["kind", "recording", "nothing"])
def test_noise_of_training_is_refused_where_unseen_noise_is_asked_for(
    corpus, noise, tmp_path, shared, protocol, make_run
):
    digests = NoiseSet.read(noise).file_digests()
    record = {
        "kind": {"kinds": ["HUM"], "file_digests": []},
        "recording": {"kinds": ["rain"], "file_digests": [digests["hiss/1.wav"]]},
        "nothing": {"kinds": ["rain"], "file_digests": ["0" * 64]},
    }[shared]
    run = make_run(tmp_path / "run", noise=record)
    wanted = protocol(noise, measures=(), unseen_noise=True)
    if shared == "nothing":
        assert evaluate(corpus, run, wanted).provenance["noise"]["checked_against_training"]
        return
    with pytest.raises(InputError, match=r"hum" if shared == "kind" else r"hiss/1\.wav"):
        evaluate(corpus, run, wanted)


def test_a_clean_reference_the_model_learned_from_counts_as_seen(corpus, noise, tmp_path, make_run):
    test = Manifest.read(corpus).split("test")
    request = MixtureRequest(test, NoiseSet.read(noise), parse_snr(["10"]), audio_format="flac")
    report = make_mixtures(open_plan(request, tmp_path / "noisy"))
    clean = Manifest.read(report.manifest_path).paths("clean_file")[0]
    run = make_run(tmp_path / "run", seen=[audio_digest(clean)])
    with pytest.raises(InputError, match="learned from 1 of the 6"):
        evaluate(report.manifest_path, run, Protocol())


@pytest.mark.parametrize(("rate", "snr_db"), [(48_000, "10"), (16_000, "-30")], ids=["resampled", "scaled"])
def test_speech_a_mixture_was_made_from_counts_as_seen(noise, tmp_path, make_run, rate, snr_db):
    samples = np.clip(0.3 * np.random.default_rng(0).standard_normal(rate), -1, 1)
    write_audio(tmp_path / "heard.wav", samples, rate)
    (tmp_path / "metadata.csv").write_text("file_name,split,emotion\nheard.wav,test,anger\n")
    clean = Manifest.read(tmp_path / "metadata.csv")
    request = MixtureRequest(clean, NoiseSet.read(noise), parse_snr([snr_db]))
    report = make_mixtures(open_plan(request, tmp_path / "noisy"))
    seen = audio_digest(tmp_path / "heard.wav")
    noisy = Manifest.read(report.manifest_path)
    assert seen not in {audio_digest(path) for path in [*noisy.paths(), *noisy.paths("clean_file")]}
    with pytest.raises(InputError, match="learned from 1 of the 1"):
        evaluate(noisy, make_run(tmp_path / "run", seen=[seen]), Protocol())


@pytest.mark.parametrize("heard", ["as speech or babble", "only of the same kind", "nothing"])
def test_test_babble_is_compared_by_its_speech(corpus, noise, talkers, tmp_path, heard, protocol, make_run):
    digest = audio_digest(talkers.parent / "s1/3.flac")
    kinds = {"only of the same kind": ["babble", "rain"]}.get(heard, [])
    seen = [digest] if heard == "as speech or babble" else []
    run = make_run(tmp_path / "run", seen=seen, noise={"kinds": kinds, "file_digests": []})
    babble = BabbleSet.read(talkers, talkers=3)
    wanted = protocol(noise, measures=(), unseen_noise=True, babble=babble)
    if heard == "as speech or babble":
        with pytest.raises(InputError, match=r"shares 1 utterances of babble \(first s1/3\.flac\)"):
            evaluate(corpus, run, wanted)
        assert evaluate(corpus, run, protocol(noise, measures=(), babble=babble)).conditions
    else:
        assert evaluate(corpus, run, wanted).provenance["noise"]["checked_against_training"]


def test_recordings_of_babble_are_still_compared_by_kind(corpus, tmp_path, protocol, make_run):
    (tmp_path / "noise" / "babble").mkdir(parents=True)
    write_audio(tmp_path / "noise" / "babble" / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(9000), 16_000)
    run = make_run(tmp_path / "run", noise={"kinds": ["babble"], "file_digests": []})
    with pytest.raises(InputError, match=r"1 kinds \(first babble\)"):
        evaluate(corpus, run, protocol(tmp_path / "noise", measures=(), unseen_noise=True))
