"""Hostile WAV files: headers that lie, samples that are no numbers, other containers under their name."""

import math
import struct

from byte_mutators import INTERESTING, general_attacks

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
RATES = (0, 1, 2, 7, 100, 999, 1000, 3999, 768_000, 768_001, 3_000_000, 2**31 - 1, 2**31, 2**32 - 1)


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    """Return a RIFF chunk, which may lie about its size."""
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def fmt(
    tag: int = PCM, channels: int = 1, rate: int = 16_000, bits: int = 16, align: int | None = None, more: bytes = b""
) -> bytes:
    """Return the body of a `fmt ` chunk."""
    align = channels * max(1, bits // 8) if align is None else align
    return struct.pack("<HHIIHH", tag, channels % 2**16, rate, rate * align % 2**32, align % 2**16, bits) + more


def riff(*chunks: bytes, size: int | None = None, form: bytes = b"WAVE") -> bytes:
    """Return a RIFF file of these chunks."""
    body = form + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def tone(count: int = 4000) -> bytes:
    """Return a tone as 16-bit samples."""
    return struct.pack(f"<{count}h", *(round(9000 * math.sin(i / 7)) for i in range(count)))


def _floats(values: list[float], kind: str = "f") -> bytes:
    return struct.pack(f"<{len(values)}{kind}", *values)


def _sizes(rng, sources):
    size = rng.choice((*INTERESTING, 8001, 7999, 16_000_000))
    if rng.random() < 0.5:
        return riff(chunk(b"fmt ", fmt()), chunk(b"data", tone(), size)), False
    return riff(chunk(b"fmt ", fmt()), chunk(b"data", tone()), size=size), False


def _channels(rng, sources):
    channels = rng.choice((0, 2, 3, 8, 255, 256, 1024, 1025, 4000, 32_767, 65_535))
    align = rng.choice((None, 2))
    return riff(chunk(b"fmt ", fmt(channels=channels, align=align)), chunk(b"data", tone())), channels in (0, 65_535)


def _rate(rng, sources):
    rate = rng.choice(RATES)
    count = rng.choice((10, 4000, 100_000))
    return riff(chunk(b"fmt ", fmt(rate=rate)), chunk(b"data", tone(count))), not 1000 <= rate <= 768_000


def _alignment(rng, sources):
    return riff(chunk(b"fmt ", fmt(align=rng.choice((0, 1, 3, 4, 7, 255, 65_535)))), chunk(b"data", tone())), False


def _bits(rng, sources):
    bits = rng.choice((0, 1, 4, 7, 8, 9, 12, 13, 20, 24, 31, 32, 33, 64, 128, 255, 65_535))
    return riff(chunk(b"fmt ", fmt(tag=rng.choice((PCM, FLOAT)), bits=bits)), chunk(b"data", tone())), False


def _codec(rng, sources):
    """Data that claims another codec: ADPCM, GSM, A-law, MP3 …"""
    tag = rng.choice(
        (0, 2, 6, 7, 0x11, 0x14, 0x16, 0x31, 0x40, 0x45, 0x50, 0x55, 0x64, 0x65, 0xFF, 0x1234, 0x674F, 0xFFFF)
    )
    more = struct.pack("<H", rng.choice((0, 2, 4, 32, 65_535))) + rng.randbytes(rng.choice((0, 2, 32)))
    body = fmt(
        tag,
        channels=rng.choice((1, 2)),
        bits=rng.choice((0, 4, 8)),
        align=rng.choice((0, 1, 36, 65, 256, 1024, 65_535)),
        more=more,
    )
    return riff(
        chunk(b"fmt ", body), chunk(b"fact", struct.pack("<I", rng.choice(INTERESTING))), chunk(b"data", tone())
    ), False


def _extensible(rng, sources):
    sub = struct.pack("<H", rng.choice((PCM, FLOAT, 6, 7, 0x55, 0xFFFE, 0x9999)))
    guid = sub + (rng.randbytes(14) if rng.random() < 0.3 else bytes.fromhex("000000001000800000aa00389b71"))
    more = struct.pack("<HHI", rng.choice((22, 0, 65_535)), rng.choice((16, 0, 20, 33)), rng.choice(INTERESTING)) + guid
    body = fmt(EXTENSIBLE, channels=rng.choice((1, 2, 6, 65_535)), bits=rng.choice((8, 16, 24, 32, 64)), more=more)
    return riff(chunk(b"fmt ", body), chunk(b"data", tone())), False


def _not_numbers(rng, sources):
    """Some float samples are NaN or infinite."""
    values = [0.1 * math.sin(i / 7) for i in range(4000)]
    for _ in range(rng.choice((1, 5, 4000))):
        values[rng.randrange(4000)] = rng.choice((math.nan, math.inf, -math.inf))
    kind, bits = rng.choice((("f", 32), ("d", 64)))
    return riff(chunk(b"fmt ", fmt(FLOAT, bits=bits)), chunk(b"data", _floats(values, kind))), True


def _enormous(rng, sources):
    """Numbers, but of a size no microphone gives: their squares are infinite."""
    size = rng.choice((1e3, 1e10, 1e19, 1e25, 1e30, 3e38, 1e-30, 1e-38, 1e-44))
    values = [size * math.sin(i / 7) for i in range(4000)]
    if rng.random() < 0.3:
        values = [0.1 * math.sin(i / 7) for i in range(3999)] + [size]
    return riff(chunk(b"fmt ", fmt(FLOAT, bits=32)), chunk(b"data", _floats(values))), False


def _enormous_doubles(rng, sources):
    """Doubles beyond what float32 holds: they become infinite as they are read."""
    values = [rng.choice((1e39, 1e300, -1e308)) for _ in range(1000)]
    return riff(chunk(b"fmt ", fmt(FLOAT, bits=64)), chunk(b"data", _floats(values, "d"))), True


def _chunks(rng, sources):
    """Chunks in odd orders, numbers and sizes."""
    body, data = chunk(b"fmt ", fmt()), chunk(b"data", tone())
    junk = chunk(
        rng.choice(
            (b"LIST", b"JUNK", b"bext", b"cart", b"smpl", b"cue ", b"acid", b"PEAK", b"id3 ", b"\0\0\0\0", b"ds64")
        ),
        rng.randbytes(rng.choice((0, 3, 64, 700))),
    )
    lie = chunk(b"LIST", b"INFO", rng.choice(INTERESTING))
    return rng.choice(
        (
            riff(data, body),
            riff(body, body, data, data),
            riff(body),
            riff(data),
            riff(),
            riff(body, *[junk] * rng.choice((1, 20_000)), data),
            riff(lie, body, data),
            riff(body, lie, data),
            riff(body, junk, data, junk),
            riff(chunk(b"fmt ", fmt()[: rng.randrange(16)]), data),
            riff(chunk(b"fmt ", fmt() + rng.randbytes(1000)), data),
            riff(body, chunk(b"data", b"")),
            riff(body, chunk(b"data", b"\1")),
            riff(body, chunk(b"data", b"\1\0")),
        )
    ), False


def _containers(rng, sources):
    """Another container under the name of WAV: RF64 and W64 whose sizes lie, AIFF, AU, CAF, ID3, Ogg, text."""
    body, data = chunk(b"fmt ", fmt()), chunk(b"data", tone(), 0xFFFFFFFF)
    lie = rng.choice((0, 8000, 2**31, 2**40, 2**63, 2**64 - 1))
    ds64 = chunk(b"ds64", struct.pack("<QQQI", lie, lie, lie, rng.choice((0, 1, 0xFFFFFFFF))))
    rf64 = b"RF64" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + ds64 + body + data
    au = (
        b".snd"
        + struct.pack(
            ">IIIII",
            rng.choice((24, 0, 2**31)),
            rng.choice(INTERESTING),
            rng.choice((1, 3, 6, 99)),
            rng.choice((16_000, 1)),
            rng.choice((1, 0, 65_535)),
        )
        + tone()
    )
    caf = (
        b"caff\0\1\0\0desc"
        + struct.pack(">q", 32)
        + struct.pack(">d4sIIIII", rng.choice((16_000.0, 1.0, math.nan, 1e300)), b"lpcm", 2, 2, 1, 1, 16)
        + b"data"
        + struct.pack(">qI", rng.choice((-1, 8004, 2**62)), 0)
        + tone()
    )
    comm = struct.pack(">hIh", rng.choice((1, 0, -1)), rng.choice(INTERESTING), 16) + rng.choice(
        (b"\x40\x0c\xfa\0\0\0\0\0\0\0", rng.randbytes(10))
    )
    aiff_body = b"AIFFCOMM" + struct.pack(">I", 18) + comm + b"SSND" + struct.pack(">III", 8008, 0, 0) + tone()
    aiff = b"FORM" + struct.pack(">I", len(aiff_body)) + aiff_body
    w64 = (
        bytes.fromhex("726966662E91CF11A5D628DB04C10000")
        + struct.pack("<Q", lie)
        + bytes.fromhex("77617665F3ACD3118CD100C04F8EDB8A")
        + rng.randbytes(200)
    )
    obscure = rng.choice(
        (
            b"NIST_1A\n   1024\n",
            b"\x64\xa3",
            b"PVF1\n1 16000 16\n",
            b"Creative Voice File\x1a",
            b"Extended Instrument: ",
            b"MATLAB 5.0 MAT-file",
            b"wvpk",
            b"OggS\0\2",
            b"ID3\3\0\0\x7f\x7f\x7f\x7f",
            b"\xff\xfb\x90\x44",
            b"fLaC\0\0\0\x22",
            b"%PDF-1.4",
            b"GIF89a",
            b"2BIT",
            b"ALaw",
            b"\0\0\3\xe8",
        )
    )
    return rng.choice((rf64, au, caf, aiff, w64, obscure + rng.randbytes(2000), obscure + tone())), False


def _short(rng, sources):
    return riff(chunk(b"fmt ", fmt()), chunk(b"data", tone(rng.choice((1, 2, 3, 10, 159, 161, 400))))), False


def _mp3(rng, sources):
    """Frames of MP3 that decode to whatever they like."""
    frame = b"\xff\xfb" + bytes([rng.choice((0x10, 0x90, 0xE0)), rng.choice((0x00, 0x44, 0xC4))]) + rng.randbytes(413)
    return frame * rng.choice((1, 3, 50)) + rng.randbytes(7), False


WAV_ATTACKS = {
    **general_attacks("wav"),
    "sizes": _sizes,
    "channels": _channels,
    "rate": _rate,
    "alignment": _alignment,
    "bits": _bits,
    "codec": _codec,
    "extensible": _extensible,
    "not-numbers": _not_numbers,
    "enormous": _enormous,
    "enormous-doubles": _enormous_doubles,
    "chunks": _chunks,
    "containers": _containers,
    "short": _short,
    "mp3": _mp3,
}
