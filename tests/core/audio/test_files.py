"""Audio files: what cannot be used is refused in one line; what is odd but right is read; none is half written."""

import os
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.audio import blocks
from sertool.core.audio.files import (
    audio_digest,
    audio_info,
    find_audio,
    read_audio,
    read_audio_native,
    resample,
    write_audio,
)
from sertool.core.errors import AudioError


def noise(*shape: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = 16_000, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_wav_is_read_as_the_standard_library_reads_it(tmp_path):
    path = write(tmp_path / "a.wav", noise(1000, 2), 8000, "PCM_16")
    with wave.open(str(path)) as file:
        expected = np.frombuffer(file.readframes(1000), "<i2").reshape(-1, 2) / 32768
    samples, rate = read_audio_native(path)
    assert rate == 8000 and samples.dtype == np.float32
    np.testing.assert_array_equal(samples, expected.astype(np.float32))
    info = audio_info(path)
    assert (info.frames, info.rate, info.channels, info.duration_s) == (1000, 8000, 2, 0.125)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.wav", "PCM_16"), ("a.wav", "PCM_24"), ("a.wav", "FLOAT"), ("a.aiff", "PCM_16"), ("a.flac", "PCM_16")],
)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_cut_off_is_refused(tmp_path, name, subtype, share):
    path = write(tmp_path / name, noise(16_000), subtype=subtype)
    read_audio_native(path)
    with pytest.raises(AudioError, match=str(path)):
        read_audio_native(cut(path, share))


def test_a_wav_cut_off_says_how_much_is_missing(tmp_path):
    path = write(tmp_path / "a.wav", noise(16_000), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AudioError, match=r"cut off, 100 bytes .* copy the whole file again"):
        read_audio_native(path)


def test_a_file_that_vanishes_while_it_is_opened_is_one_line(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", noise(100))
    look = blocks.bytes_cut_off
    monkeypatch.setattr(blocks, "bytes_cut_off", lambda path: Path(path).unlink() or look(path))
    with pytest.raises(AudioError, match=r"a.wav: cannot be read \(No such file"):
        audio_info(path)


def test_a_wav_cut_off_behind_other_chunks_is_refused(tmp_path):
    path = write(tmp_path / "a.wav", noise(1000), subtype="PCM_16")
    data = path.read_bytes()
    path.write_bytes(data[:12] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + data[12:-10])
    with pytest.raises(AudioError, match="10 bytes"):
        read_audio_native(path)


@pytest.mark.parametrize("announced", [0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000])
def test_a_wav_streamed_to_a_pipe_is_read_to_its_end(tmp_path, announced):
    path = write(tmp_path / "a.wav", noise(1000), subtype="PCM_16")
    data = bytearray(path.read_bytes())
    where = data.index(b"data") + 4
    data[where : where + 4] = struct.pack("<I", announced)
    path.write_bytes(data)
    assert len(read_audio_native(path)[0]) == 1000


def test_a_mono_byte_wav_of_odd_length_is_whole(tmp_path):
    path = write(tmp_path / "a.wav", noise(1001), subtype="PCM_U8")
    assert len(read_audio_native(path)[0]) == 1001


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file"),
        (Path.mkdir, "is a folder"),
        (lambda path: path.write_text("file_name,emotion\na.wav,anger\n"), "cannot be read as audio"),
        (lambda path: path.write_bytes(b""), "cannot be read as audio"),
        (lambda path: write(path, noise(0)), "holds no samples"),
        (lambda path: write(path, np.array([0.0, np.nan]), subtype="FLOAT"), "not numbers"),
        (lambda path: write(path, np.array([0.0, np.inf]), subtype="FLOAT"), "not numbers"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, make, words):
    path = tmp_path / "a.wav"
    make(path)
    with pytest.raises(AudioError, match=words) as caught:
        read_audio(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_channels_are_averaged_and_the_rate_is_brought_to_16_khz(tmp_path):
    time = np.arange(19_200) / 192_000
    tone = 0.5 * np.sin(2 * np.pi * 1000 * time)
    six = np.stack([tone * weight for weight in (1, 1, 1, 0, 0, 0)], axis=1)
    samples = read_audio(write(tmp_path / "a.wav", six, 192_000, "FLOAT"))
    assert samples.shape == (1600,)
    expected = 0.25 * np.sin(2 * np.pi * 1000 * np.arange(1600) / 16_000)
    np.testing.assert_allclose(samples[100:-100], expected[100:-100], atol=1e-3)


@settings(deadline=None)
@given(
    length=st.integers(1, 5000),
    rate=st.sampled_from([8000, 44_100, 192_000]),
    channels=st.sampled_from([None, 1, 6]),
)
def test_resampling_keeps_the_duration_and_never_leaves_nothing(length, rate, channels):
    samples = noise(length) if channels is None else noise(length, channels)
    out = resample(samples, rate, 16_000)
    assert out.shape[1:] == samples.shape[1:] and len(out) >= 1
    assert abs(len(out) - length * 16_000 / rate) <= 1


@pytest.mark.parametrize(("name", "tolerance"), [("a.wav", 0.0), ("a.flac", 2.0**-23)])
def test_what_is_written_is_read_back(tmp_path, name, tolerance):
    samples = noise(1000, 2)
    write_audio(tmp_path / name, samples, 44_100)
    again, rate = read_audio_native(tmp_path / name)
    assert rate == 44_100
    np.testing.assert_allclose(again, samples, atol=tolerance, rtol=0)


def test_float_wav_keeps_what_lies_beyond_one(tmp_path):
    write_audio(tmp_path / "a.wav", np.array([2.5, -3.0]), 16_000)
    assert read_audio_native(tmp_path / "a.wav")[0][:, 0].tolist() == [2.5, -3.0]


def test_a_write_that_fails_leaves_nothing_and_the_old_file_whole(tmp_path):
    path = tmp_path / "a.flac"
    write_audio(path, noise(100), 16_000)
    before = path.read_bytes()
    with pytest.raises(AudioError, match=r"a\.flac"):
        write_audio(path, noise(100, 20), 16_000)  # FLAC holds 8 channels at most
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(AudioError, match=r"expected \.wav or \.flac"):
        write_audio(tmp_path / "a.mp3", noise(100), 16_000)


def test_a_digest_is_of_the_audio_and_not_of_its_container(tmp_path):
    samples = (noise(1000) * 32768).round() / 32768
    wav = write(tmp_path / "a.wav", samples, subtype="PCM_16")
    flac = write(tmp_path / "b.flac", samples, subtype="PCM_16")
    assert audio_digest(wav) == audio_digest(flac)
    samples[500] += 1 / 32768
    assert audio_digest(write(tmp_path / "c.wav", samples, subtype="PCM_16")) != audio_digest(wav)


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_name_may_hold_bytes_that_are_no_text(tmp_path, suffix):
    path = tmp_path / os.fsdecode(b"caf\xe9 \xff." + suffix.encode())
    write_audio(path, noise(900), 16_000)
    np.testing.assert_allclose(read_audio(path), noise(900), atol=1e-6)
    assert find_audio(tmp_path) == [path]


def test_folders_are_searched_all_the_way_down_in_order(tmp_path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    for name in ("b/c/z.FLAC", "a.wav", "b/.hidden.wav", "b/text.txt", ".hidden/a.wav"):
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in find_audio(tmp_path)] == ["a.wav", "b/c/z.FLAC"]


def test_a_folder_that_vanishes_while_it_is_searched_holds_nothing(tmp_path, monkeypatch):
    scandir = os.scandir

    def late(place):
        if Path(place).name == "b":
            (tmp_path / "b" / "gone.wav").unlink()
            (tmp_path / "b").rmdir()
        return scandir(place)

    for name in ("b/gone.wav", "c/there.wav"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    monkeypatch.setattr(os, "scandir", late)
    assert find_audio(tmp_path) == [tmp_path / "c" / "there.wav"]
