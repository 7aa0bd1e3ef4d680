"""SNRs, noise and manifests that do not fit each other are refused."""

import pytest

from sertool.core.corpus.babble import BabbleSet
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixtures import MixtureRequest, make_mixtures, open_plan
from sertool.core.corpus.noise import NoiseFile, NoiseSet
from sertool.core.corpus.reverberation import Reverberation, RirSet
from sertool.core.corpus.snr import parse_snr
from sertool.core.errors import InputError
from sertool.core.evaluation.by_snr import evaluate
from sertool.core.evaluation.protocol import Protocol


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"snr": ("0",)}, "needs noise"),
        ({"snr": ("-5:5",), "noise": True}, "is a range"),
        ({"snr": ("clean",), "unseen_noise": True}, "no noise to compare"),
        ({"snr": ("clean",), "split": "holdout"}, "holdout"),
    ],
)
def test_protocols_that_do_not_fit_are_refused(corpus, noise, run, settings, words, protocol):
    settings = dict(settings)
    source = noise if settings.pop("noise", False) else None
    with pytest.raises(InputError, match=words):
        evaluate(corpus, run, protocol(source, **settings))


def test_no_snr_and_no_labels_are_refused(corpus, noise, run, tmp_path, protocol):
    with pytest.raises(InputError, match="no SNR was given"):
        evaluate(corpus, run, Protocol())
    table = Manifest.read(corpus).rebased(tmp_path).table
    table.drop(columns="emotion").to_csv(tmp_path / "unlabelled.csv", index=False)
    with pytest.raises(InputError, match="no column 'emotion'"):
        evaluate(tmp_path / "unlabelled.csv", run, protocol(noise))


def test_babble_and_rooms_that_do_not_fit_are_refused(corpus, noise, run, tmp_path, protocol, talkers, room_folder):
    rooms, babble = Reverberation(RirSet.read(room_folder)), BabbleSet.read(talkers)
    with pytest.raises(InputError, match="there are rooms but nothing is mixed, and clean speech stays as it is"):
        evaluate(corpus, run, protocol(noise, ("clean",), reverberation=rooms))
    noise_set = NoiseSet.of(
        [NoiseFile(path=file.path, name=file.name, kind="Babble", digest=file.digest) for file in babble.files]
    )
    with pytest.raises(InputError, match="recordings of the kind 'babble'"):
        evaluate(corpus, run, Protocol(snr=parse_snr(["0"]), noise=noise_set, babble=babble))
    request = MixtureRequest(Manifest.read(corpus), NoiseSet.read(noise), parse_snr(["0"]))
    mixed = make_mixtures(open_plan(request, tmp_path / "noisy")).manifest_path
    for settings in ({"babble": babble}, {"reverberation": rooms}, {"speech_level": "active"}):
        with pytest.raises(InputError, match=r"is noisy already.*leave --"):
            evaluate(mixed, run, Protocol(**settings))
