"""Audio files cut off in copying: how many bytes their headers announce beyond their end.

libsndfile reads such files without complaint, as if they were shorter.
"""

import os
from pathlib import Path
from typing import BinaryIO

_UNKNOWN_SIZES = (range(0x7FFF_0000, 0x8001_0000), range(0xFFFF_0000, 0x1_0000_0000))
"""Sizes programs write that stream a WAV to a pipe and cannot know its length, about 2 and 4 GiB: they announce
nothing. A file that really is that long to within 64 KiB is believed to be whole."""

_W64_RIFF = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
_W64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_OGG_PAGE_LIMIT = 27 + 255 + 255 * 255


def bytes_cut_off(path: Path | str) -> int:
    """Return how many bytes a WAV, AIFF, RF64, W64 or Ogg file announces beyond its end; 0 for other files.

    An Ogg file is noticed only where it ends within a page, which is nearly everywhere.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        form = file.read(16)
        order = {b"RIFF": "little", b"RIFX": "big", b"FORM": "big"}.get(form[:4])
        if order is not None and form[8:12] in (b"WAVE", b"AIFF", b"AIFC"):
            return _cut_off_chunks(file, size, order)
        if form[:4] in (b"RF64", b"BW64") and form[8:12] == b"WAVE":
            return _cut_off_rf64(file, size)
        if form == _W64_RIFF:
            return _cut_off_w64(file, size)
        if form[:4] == b"OggS":
            return _cut_off_ogg(file, size)
    return 0


def _cut_off_chunks(file: BinaryIO, size: int, order: str) -> int:
    file.seek(12)
    while len(header := file.read(8)) == 8:
        length = int.from_bytes(header[4:], order)
        if header[:4] in (b"data", b"SSND"):
            known = not any(length in sizes for sizes in _UNKNOWN_SIZES)
            return max(0, file.tell() + length - size) if known else 0
        file.seek(length + length % 2, os.SEEK_CUR)
    return 0


def _cut_off_rf64(file: BinaryIO, size: int) -> int:
    """The sizes of RF64 (EBU Tech 3306) stand in a chunk `ds64`; those of 32 bits are all ones."""
    file.seek(12)
    announced = 0
    while len(header := file.read(8)) == 8:
        length = int.from_bytes(header[4:], "little")
        if header[:4] == b"data":
            length = announced if length == 0xFFFF_FFFF else length
            return max(0, file.tell() + length - size) if length < 2**63 else 0
        if header[:4] == b"ds64":
            content = file.read(length)
            announced = int.from_bytes(content[8:16], "little")
            file.seek(length % 2, os.SEEK_CUR)
        else:
            file.seek(length + length % 2, os.SEEK_CUR)
    return 0


def _cut_off_w64(file: BinaryIO, size: int) -> int:
    """A chunk of W64 has a GUID and a size of 64 bits that counts its own header of 24 bytes; all begin at eighths."""
    file.seek(40)
    while len(header := file.read(24)) == 24:
        start, length = file.tell() - 24, int.from_bytes(header[16:], "little")
        if header[:16] == _W64_DATA:
            return max(0, start + length - size)
        if length < 24 or start + length > size:
            return max(0, start + length - size)
        file.seek(start + -(-length // 8) * 8)
    return 0


def _cut_off_ogg(file: BinaryIO, size: int) -> int:
    """The last page (RFC 3533) must be whole: 27 bytes, a table of segment lengths, the segments."""
    file.seek(max(0, size - _OGG_PAGE_LIMIT))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    if not page:
        return 0
    if len(page) < 27 or len(page) < 27 + page[26]:
        return 27 + (page[26] if len(page) >= 27 else 0) - len(page)
    return max(0, 27 + page[26] + sum(page[27 : 27 + page[26]]) - len(page))
