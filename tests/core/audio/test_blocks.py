"""Audio block by block: read with every check, written whole or not at all, resampled as in one go."""

import itertools
import os

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.audio import blocks
from sertool.core.audio.blocks import READ_FRAMES, ArraySource, FileSource, RateConverter, audio_writer
from sertool.core.errors import AudioError


def noise(*shape: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def test_a_file_and_its_samples_come_in_the_same_blocks(tmp_path):
    samples = noise(2 * READ_FRAMES + 7, 2)
    soundfile.write(tmp_path / "a.wav", samples, 44_100, subtype="FLOAT")
    source, same = FileSource(tmp_path / "a.wav"), ArraySource(samples, 44_100)
    assert (source.rate, source.channels) == (same.rate, same.channels) == (44_100, 2)
    for _ in range(2):  # as often as one likes
        for block, other in zip(source.blocks(), same.blocks(), strict=True):
            np.testing.assert_array_equal(block, other)
            assert len(block) <= READ_FRAMES


@pytest.mark.parametrize(("at", "value"), [(5, np.nan), (READ_FRAMES + 5, np.inf)])
def test_samples_that_are_no_numbers_are_found_wherever_they_are(tmp_path, at, value):
    samples = noise(READ_FRAMES + 100)
    samples[at] = value
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match="not numbers"):
        list(FileSource(tmp_path / "a.wav").blocks())
    with pytest.raises(AudioError, match="not numbers"):
        ArraySource(samples, 16_000)


@pytest.mark.parametrize("name", ["a.flac", "a.wav"])
def test_a_file_cut_off_is_refused_block_by_block_too(tmp_path, name):
    path = tmp_path / name
    soundfile.write(path, noise(3 * READ_FRAMES), 16_000)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(AudioError, match=str(path)):
        list(FileSource(path).blocks())


def test_a_file_that_changes_while_it_is_read(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1000), 16_000)
    source = FileSource(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(AudioError, match="has changed while it was read"):
        list(source.blocks())
    path.unlink()
    with pytest.raises(AudioError, match="no such file"):
        list(source.blocks())


@given(
    rates=st.sampled_from([(48_000, 16_000), (44_100, 16_000), (8000, 16_000), (16_000, 22_050), (16_000, 16_000)]),
    channels=st.integers(1, 3),
    cuts=st.lists(st.integers(0, 5000), max_size=5),
    length=st.integers(1, 5000),
)
def test_resampling_blocks_is_resampling_the_whole(rates, channels, cuts, length):
    samples = noise(length, channels)
    converter = RateConverter(*rates, channels)
    edges = sorted({0, length, *(min(cut, length) for cut in cuts)})
    parts = [converter.push(samples[start:stop]) for start, stop in itertools.pairwise(edges)]
    parts.append(converter.finish())
    np.testing.assert_array_equal(np.concatenate(parts), soxr.resample(samples, *rates, quality="HQ"))


@pytest.mark.parametrize("name", ["a.wav", "deep/er/a.flac"])
def test_blocks_written_are_the_whole(tmp_path, name):
    samples = noise(5000, 2)
    with audio_writer(tmp_path / name, rate=8000, channels=2, frames=5000) as write:
        for start in range(0, 5000, 1700):
            write(samples[start : start + 1700])
        assert not (tmp_path / name).exists()
    again, rate = soundfile.read(tmp_path / name, dtype="float32")
    assert rate == 8000
    np.testing.assert_allclose(again, samples, atol=2.0**-23, rtol=0)


def test_a_writer_that_is_broken_off_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), audio_writer(tmp_path / "a.wav", rate=8000, channels=1, frames=9) as write:
        write(noise(5))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_wav_beyond_4_gib_is_rf64(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "WAV_LIMIT_BYTES", 4000)
    samples = noise(1001)
    for name, frames, form in (("a.wav", 1000, b"RIFF"), ("b.wav", 1001, b"RF64"), ("c.flac", 1001, b"fLaC")):
        with audio_writer(tmp_path / name, rate=8000, channels=1, frames=frames) as write:
            write(samples[:frames])
        assert (tmp_path / name).read_bytes().startswith(form)
        (block,) = FileSource(tmp_path / name).blocks()
        np.testing.assert_allclose(block[:, 0], samples[:frames], atol=2.0**-23)
