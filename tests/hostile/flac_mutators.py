"""Hostile FLAC files: headers that lie, frames lost or forged, blocks that unpack without end."""

import itertools
import struct

from byte_mutators import INTERESTING, general_attacks


def streaminfo(
    *, blocks=(4096, 4096), frames=(0, 0), rate=16_000, channels=1, bits=16, samples=0, md5=b"\0" * 16
) -> bytes:
    """Return the body of FLAC's STREAMINFO block."""
    packed = rate << 44 | (channels - 1) << 41 | (bits - 1) << 36 | samples
    return (
        struct.pack(">HH", *blocks)
        + frames[0].to_bytes(3, "big")
        + frames[1].to_bytes(3, "big")
        + packed.to_bytes(8, "big")
        + md5
    )


def block(kind: int, body: bytes, *, last: bool = False, size: int | None = None) -> bytes:
    """Return a metadata block, which may lie about its size."""
    return bytes([kind | (0x80 if last else 0)]) + (len(body) if size is None else size).to_bytes(3, "big") + body


def _crc(data: bytes, polynomial: int, width: int) -> int:
    value, top, mask = 0, 1 << width - 1, (1 << width) - 1
    for byte in data:
        value ^= byte << width - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
    return value


def constant_frame(number: int, *, channels: int, length: int = 65_535, value: int = 3) -> bytes:
    """Return a FLAC frame all of whose samples are one value: some forty bytes for up to half a million samples."""
    utf8 = chr(number).encode("utf-8", "surrogatepass")  # FLAC writes numbers as UTF-8 writes characters
    head = b"\xff\xf8" + bytes([0x70, (channels - 1) << 4 | 0x08]) + utf8 + (length - 1).to_bytes(2, "big")
    head += bytes([_crc(head, 0x07, 8)])
    body = head + b"".join(b"\0" + struct.pack(">h", value) for _ in range(channels))
    return body + _crc(body, 0x8005, 16).to_bytes(2, "big")


def bomb(frames: int, *, channels: int = 8, announced: int | None = None) -> bytes:
    """Return a small FLAC file that unpacks to `frames` times 65535 samples in each channel."""
    info = streaminfo(
        blocks=(65_535, 65_535), channels=channels, samples=frames * 65_535 if announced is None else announced
    )
    return b"fLaC" + block(0, info, last=True) + b"".join(constant_frame(n, channels=channels) for n in range(frames))


def _frames_of(data: bytes) -> tuple[bytes, bytes]:
    """Return the metadata and the frames of a good FLAC file."""
    at = 4
    while True:
        last, size = data[at] & 0x80, int.from_bytes(data[at + 1 : at + 4], "big")
        at += 4 + size
        if last:
            return data[:at], data[at:]


def _info_lies(rng, sources):
    _, frames = _frames_of(sources.pick(rng, "flac-16"))
    lies = {
        "samples": rng.choice((0, 1, 4000, 4_801, 2**31, 2**32, 2**36 - 1)),
        "rate": rng.choice((0, 1, 999, 16_000, 8000, 655_350, 2**20 - 1)),
        "channels": rng.randint(1, 8),
        "bits": rng.choice((1, 4, 8, 16, 24, 32)),
        "blocks": rng.choice(((0, 0), (16, 16), (4096, 16), (65_535, 65_535), (1, 65_535))),
        "md5": rng.randbytes(16),
    }
    chosen = {name: lies[name] for name in rng.sample(sorted(lies), rng.randint(1, 3))}
    return b"fLaC" + block(0, streaminfo(**({"samples": 4800} | chosen)), last=True) + frames, False


def _many_samples(rng, sources):
    """The header announces far more samples than there are."""
    _, frames = _frames_of(sources.pick(rng, "flac-16"))
    samples = rng.choice((10**6, 10**8, 2**31, 2**33, 2**36 - 1))
    return b"fLaC" + block(0, streaminfo(samples=samples), last=True) + frames, True


def _metadata(rng, sources):
    """Blocks of metadata: huge, unknown, endless, or with lengths that lie."""
    head, frames = _frames_of(sources.pick(rng, "flac-16"))
    info = head[:42][:4] + bytes([0]) + head[5:42]
    wild = struct.pack("<I", rng.choice(INTERESTING))
    added = rng.choice(
        (
            block(1, b"", size=2**24 - 1),
            block(1, b"\0" * 100_000),
            block(rng.randint(7, 127), rng.randbytes(40)),
            block(1, b"") * 20_000,
            block(4, wild + rng.randbytes(30)),
            block(4, struct.pack("<I", 4) + b"test" + wild + rng.randbytes(30)),
            block(3, rng.randbytes(18 * rng.choice((1, 500)))),
            block(5, rng.randbytes(500)),
            block(6, struct.pack(">II", 3, rng.choice(INTERESTING)) + b"image/png" + rng.randbytes(40)),
            block(0, streaminfo(rate=1, channels=8)),
            block(127, b""),
        )
    )
    last = rng.choice((b"", block(1, b"", last=True)))
    return info + added + last + frames, False


def _broken_frames(rng, sources):
    """Frames lost, doubled, out of order or without their beginning."""
    head, frames = _frames_of(sources.pick(rng, rng.choice(("flac-16", "flac-24"))))
    at = [i for i in range(len(frames) - 1) if frames[i] == 0xFF and frames[i + 1] in (0xF8, 0xF9)] + [len(frames)]
    parts = [frames[a:b] for a, b in itertools.pairwise(at)] or [frames]
    kind = rng.randrange(4)
    if kind == 0:
        parts = [part for part in parts if rng.random() < 0.6]
    elif kind == 1:
        parts = parts + parts
    elif kind == 2:
        rng.shuffle(parts)
    else:
        parts = [part[rng.randrange(9) :] for part in parts]
    return head + b"".join(parts), False


def _fixed_frame(rng, sources):
    """Frames whose checks are right and whose meaning is odd: other lengths, channels and numbers in every one."""
    frames = [
        constant_frame(
            rng.choice((n, 0, 2**16 - 1)),
            channels=rng.choice((1, 1, 2, 8)),
            length=rng.choice((1, 16, 192, 4096, 65_535)),
        )
        for n in range(rng.randint(1, 6))
    ]
    return b"fLaC" + block(0, streaminfo(blocks=(16, 65_535)), last=True) + b"".join(frames), False


def _bomb(rng, sources):
    """Tens of kilobytes of constant frames, gigabytes of samples."""
    return bomb(rng.choice((300, 1000)), announced=rng.choice((None, None, 0))), False


def _silence(rng, sources):
    frames = b"".join(constant_frame(n, channels=1, length=4096, value=0) for n in range(rng.choice((1, 3, 20))))
    return b"fLaC" + block(0, streaminfo(blocks=(4096, 4096)), last=True) + frames, False


def _tagged(rng, sources):
    """A tag before the stream, whose length may lie."""
    size = rng.choice((0, 10, 127, 2**28 - 1))
    coded = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\4\0\0" + coded + b"\0" * min(size, 10) + sources.pick(rng, "flac"), False


FLAC_ATTACKS = {
    **general_attacks("flac"),
    "info-lies": _info_lies,
    "many-samples": _many_samples,
    "metadata": _metadata,
    "broken-frames": _broken_frames,
    "fixed-frames": _fixed_frame,
    "bomb": _bomb,
    "silence": _silence,
    "tagged": _tagged,
}
