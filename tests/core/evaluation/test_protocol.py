"""SNRs, noise and manifests that do not fit each other are refused."""

import pytest

from sertool.core.corpus.manifest import Manifest
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
