"""The cache of scores: what is kept is found by content, by other processes too, and never changes a number."""

import json
import os
import sys

import numpy as np
import pytest

from sertool.core.errors import CacheError
from sertool.core.evaluation import judging
from sertool.core.evaluation.by_snr import evaluate
from sertool.core.evaluation.cache import FILE_NAME, CacheWriter, ScoreCache, cache_folder, key_of
from sertool.core.evaluation.enhancer import CommandEnhancer
from sertool.core.models.recognizer import Recognizer


def document(results):
    return json.dumps(results.document(), sort_keys=True), results.table.to_csv(index=False)


def test_what_was_written_is_found_again(tmp_path):
    writer = CacheWriter(tmp_path / "cache")
    cache = ScoreCache(tmp_path / "cache")
    assert cache.get("a") is None
    cache.put("a", {"value": None})
    assert cache.get("a") == {"value": None}
    writer.write(cache.drain())
    assert cache.drain() == {}
    assert cache.get("a") == ScoreCache(tmp_path / "cache").get("a") == {"value": None}
    writer.close()


def test_without_a_folder_nothing_is_kept():
    cache = ScoreCache(None)
    cache.put("a", 1)
    assert cache.get("a") is None and cache.drain() == {}


def test_a_key_is_of_content_shape_type_and_order():
    samples = np.arange(6, dtype=np.float32)
    assert key_of("x", samples) == key_of("x", samples.copy())
    keys = {
        key_of("x", samples),
        key_of("y", samples),
        key_of("x", samples[::-1]),
        key_of("x", samples.reshape(2, 3)),
        key_of("x", samples.astype(np.float64)),
        key_of(samples, "x"),
        key_of("x"),
    }
    assert len(keys) == 7


def test_versions_of_what_computes_are_part_of_a_key(monkeypatch):
    before = key_of("x")
    monkeypatch.setattr("sertool.core.evaluation.cache._versions", lambda: "another")
    assert key_of("x") != before


def test_the_folder_is_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SERTOOL_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.delenv("SERTOOL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "sertool"


def test_another_file_in_its_place_is_an_error(tmp_path):
    (tmp_path / FILE_NAME).write_text("no database at all, but text that is long enough to be looked at" * 20)
    with pytest.raises(CacheError, match="--no-cache"):
        CacheWriter(tmp_path)
    with pytest.raises(CacheError, match="remove it"):
        ScoreCache(tmp_path).get("a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(CacheError, match="cannot be used"):
        CacheWriter(tmp_path / "cache")


def test_a_second_evaluation_computes_nothing_and_finds_the_same(corpus, noise, run, protocol, tmp_path, monkeypatch):
    fresh = evaluate(corpus, run, protocol(noise, ("clean", "0"), measures=("stoi", "si_sdr")))
    how = protocol(noise, ("clean", "0"), measures=("stoi", "si_sdr"), cache=tmp_path / "cache")
    first = evaluate(corpus, run, how, workers=2)

    def never(*_, **__):
        raise AssertionError("computed again")

    for name in ("hear", "predict", "enhance"):
        monkeypatch.setattr(Recognizer, name, never)
    scored = []
    monkeypatch.setattr(judging, "score_pairs", lambda cleans, *_, **__: scored.extend(cleans) or [])
    second = evaluate(corpus, run, how)
    assert not scored
    assert document(fresh) == document(first) == document(second)


def test_only_what_changed_is_scored(corpus, noise, run, protocol, tmp_path, monkeypatch):
    evaluate(corpus, run, protocol(noise, ("0",), measures=("si_sdr",), cache=tmp_path / "cache"))
    pairs = []
    score_pairs = judging.score_pairs

    def counted(cleans, estimates, **options):
        pairs.append(len(cleans))
        return score_pairs(cleans, estimates, **options)

    monkeypatch.setattr(judging, "score_pairs", counted)
    more = protocol(noise, ("0", "10"), measures=("si_sdr",), cache=tmp_path / "cache")
    assert document(evaluate(corpus, run, more)) == document(
        evaluate(corpus, run, protocol(noise, ("0", "10"), measures=("si_sdr",)))
    )
    # Six utterances at 10 dB, unprocessed and enhanced; then all of it without the cache.
    assert pairs == [2] * 6 + [4] * 6


def test_what_an_outside_command_does_is_never_taken_from_the_cache(corpus, noise, run, protocol, tmp_path):
    (tmp_path / "gain.txt").write_text("1.0")
    (tmp_path / "theirs.py").write_text(
        "import sys, pathlib, soundfile\n"
        "gain = float(pathlib.Path(__file__).with_name('gain.txt').read_text())\n"
        "samples, rate = soundfile.read(sys.argv[1])\n"
        "samples[: len(samples) // 2] *= gain\n"
        "soundfile.write(sys.argv[2], samples, rate, subtype='FLOAT')\n"
    )
    command = CommandEnhancer.read(f"{sys.executable} {tmp_path / 'theirs.py'} {{in}} {{out}}")
    how = protocol(noise, ("0",), measures=("si_sdr",), enhancer=command, cache=tmp_path / "cache")
    first = evaluate(corpus, run, how, workers=2)
    (tmp_path / "gain.txt").write_text("0.001")
    second = evaluate(corpus, run, how, workers=2)
    assert (first.table["enhanced_si_sdr"] != second.table["enhanced_si_sdr"]).all()
    assert (first.table["p_anger"] != second.table["p_anger"]).any()
