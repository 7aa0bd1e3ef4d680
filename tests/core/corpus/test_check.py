"""Checking a corpus: every fault planted is found, and nothing else."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from sertool.core.corpus.check import check, examine
from sertool.core.corpus.manifest import Manifest

RATE = 16_000
TONE = (0.5 * 32767 * np.sin(np.arange(RATE) / 9.0)).astype(np.int16)


@pytest.fixture
def corpus(tmp_path):
    def put(name, samples, rate=RATE, subtype="PCM_16"):
        soundfile.write(tmp_path / name, samples, rate, subtype=subtype)

    put("fine.wav", TONE)
    shutil.copy(tmp_path / "fine.wav", tmp_path / "copy.wav")
    put("other.flac", TONE)
    put("stereo.wav", np.stack([TONE, -TONE], axis=1), rate=44_100)
    put("clipped.wav", np.clip(3.0 * np.sin(np.arange(RATE) / 9.0), -1, 1))
    put("zeros.wav", np.zeros(800, np.int16), rate=8_000)
    put("faint.wav", 1e-5 * np.sin(np.arange(RATE) / 9.0), subtype="FLOAT")
    (tmp_path / "text.wav").write_text("no audio")
    rows = [
        ("fine.wav", "a", "train", "anger", "female"),
        ("copy.wav", "b", "test", "anger", "male"),
        ("other.flac", "a", "train", "calm", "female"),
        ("stereo.wav", "a", "dev", None, "female"),
        ("clipped.wav", None, "train", "calm", None),
        ("zeros.wav", "c", "train", "calm", None),
        ("faint.wav", "c", "train", "calm", None),
        ("text.wav", "c", "train", "calm", None),
        ("missing.wav", None, None, "calm", None),
    ]
    table = pd.DataFrame(rows, columns=["file_name", "speaker", "split", "emotion", "gender"])
    return Manifest.from_table(table, tmp_path)


def test_every_fault_planted_is_found_and_nothing_else(corpus):
    report = check(corpus)
    assert set(report.unreadable) == {"text.wav", "missing.wav"} and "no such file" in report.unreadable["missing.wav"]
    assert report.silent == {"zeros.wav": None, "faint.wav": pytest.approx(-100.0, abs=0.01)}
    assert report.clipped == {"clipped.wav": pytest.approx(1 - 2 * np.arcsin(1 / 3) / np.pi, abs=0.01)}
    assert report.identical == [["fine.wav", "copy.wav"]]
    assert report.same_samples == [["fine.wav", "other.flac"]]
    assert report.crossing == {"a": ("dev", "train")}
    assert report.crossing_audio == [["fine.wav", "copy.wav"]]


def test_what_there_is_is_counted(corpus):
    report = check(corpus)
    assert report.utterances == 9 and report.unknown_speakers == 2
    assert report.rates == {8_000: 1, 16_000: 5, 44_100: 1} and report.channels == {1: 6, 2: 1}
    assert report.hours == pytest.approx((5 + 0.1 + RATE / 44_100) / 3600)
    assert list(report.categories) == ["train", "dev", "test", "no split"]
    assert report.categories["train"] == {"anger": 1, "calm": 5, "unlabelled": 0}
    assert report.speakers["train"] == {"female": 1, "male": 0, "unknown": 1}


def test_a_report_is_json_and_does_not_depend_on_the_workers(corpus):
    reports = [json.dumps(check(corpus, workers=workers).record(), allow_nan=False) for workers in (1, 2)]
    assert reports[0] == reports[1]


def test_a_peak_at_full_scale_is_not_clipping(tmp_path):
    samples = 0.3 * np.sin(np.arange(RATE) / 9.0)
    samples[100] = 1.0
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    assert examine(tmp_path / "a.wav").clipped_share == 1 / RATE
    assert not check(Manifest.from_table(pd.DataFrame({"file_name": ["a.wav"]}), tmp_path)).clipped


def test_a_24_bit_copy_is_the_same_recording(tmp_path):
    soundfile.write(tmp_path / "a.wav", TONE, RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "b.flac", TONE.astype(np.float64) / 32768, RATE, subtype="PCM_24")
    report = check(Manifest.from_table(pd.DataFrame({"file_name": ["a.wav", "b.flac"]}), tmp_path))
    assert report.same_samples == [["a.wav", "b.flac"]] and not report.identical


def test_a_manifest_without_labels_speakers_and_splits_can_be_checked(tmp_path):
    soundfile.write(tmp_path / "a.wav", TONE, RATE)
    report = check(Manifest.from_table(pd.DataFrame({"file_name": ["a.wav"]}), tmp_path))
    assert report.categories == report.speakers == {} and report.unknown_speakers == 1


def test_the_identical_pair_of_ravdess(shared_data, tmp_path):
    names = [str(path) for path in sorted((shared_data / "ravdess" / "Actor_07").iterdir())]
    report = check(Manifest.from_table(pd.DataFrame({"file_name": names}), tmp_path))
    assert [[name[-24:-5] for name in group] for group in report.identical] == [
        ["3-01-03-01-02-01-07", "3-01-03-01-02-02-07"]
    ]
    assert not report.same_samples and not report.silent and not report.unreadable


def test_votes_are_added_up_over_the_utterances_that_have_some(corpus):
    assert check(corpus).votes == {} and check(corpus).voted == 0
    table = corpus.table.assign(votes_anger=[2.5, 1] + 7 * [None], votes_other=[1, 0] + 7 * [0])
    report = check(Manifest.from_table(table, corpus.folder))
    assert report.votes == {"anger": 3.5, "other": 1.0} and report.voted == 2
