"""Files cut off: seen in the header of every format that libsndfile reads on regardless."""

import struct

import numpy as np
import pytest
import soundfile

from sertool.core.audio.headers import bytes_cut_off


@pytest.fixture(params=["WAV", "RF64", "W64", "AIFF", "OGG"])
def whole(request, tmp_path):
    path = tmp_path / "audio"
    subtype = "VORBIS" if request.param == "OGG" else "PCM_16"
    samples = 0.1 * np.random.default_rng(0).standard_normal(48_000)
    soundfile.write(path, samples, 16_000, format=request.param, subtype=subtype)
    return path


def test_a_whole_file_lacks_nothing(whole):
    assert bytes_cut_off(whole) == 0


@pytest.mark.parametrize("missing", [1, 5, 100, 3000])
def test_a_file_cut_off_lacks_bytes(whole, missing):
    is_ogg = whole.read_bytes().startswith(b"OggS")
    whole.write_bytes(whole.read_bytes()[:-missing])
    found = bytes_cut_off(whole)
    assert 0 < found <= missing if is_ogg else found == missing


@pytest.mark.parametrize("size", [0x9000_0000, 0xF000_0001])
def test_a_wav_beyond_2_gib_is_taken_at_its_word(tmp_path, size):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(1000), 16_000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    where = data.index(b"data") + 4
    data[where : where + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    assert bytes_cut_off(path) == size - 2000


@pytest.mark.parametrize(
    "content", [b"", b"OggS", b"RIFF", b"RF64\0\0\0\0WAVE", b"fLaC" + bytes(99), b"OggS" + bytes(20)]
)
def test_what_is_no_such_file_raises_nothing(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert bytes_cut_off(tmp_path / "a") >= 0
