"""Damage any file may take: bits that flip, bytes that are lost, doubled, moved or added."""

import random
from collections.abc import Callable

INTERESTING = (
    0,
    1,
    2,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFE,
    0xFFFFFFFF,
)
"""Integers at the edges of their types."""


def flip(data: bytes, rng: random.Random, *, most: int = 16, within: int | None = None) -> bytes:
    """Change a few bytes, all of them among the first `within`."""
    damaged = bytearray(data)
    end = min(len(damaged), within or len(damaged))
    for _ in range(rng.randint(1, most)):
        if end:
            damaged[rng.randrange(end)] ^= rng.randint(1, 255)
    return bytes(damaged)


def flip_head(data: bytes, rng: random.Random) -> bytes:
    """Change a few bytes where headers are."""
    return flip(data, rng, most=6, within=64)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """Cut the end off."""
    return data[: rng.randrange(len(data))]


def truncate_head(data: bytes, rng: random.Random) -> bytes:
    """Leave a piece of the header."""
    return data[: rng.randrange(min(len(data), 80))]


def insert(data: bytes, rng: random.Random) -> bytes:
    """Put random bytes in somewhere."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 3, 16, 255, 4096))) + data[at:]


def double(data: bytes, rng: random.Random) -> bytes:
    """Repeat a block."""
    first, last = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:last] + data[first:last] * rng.choice((1, 1, 2, 20)) + data[last:]


def delete(data: bytes, rng: random.Random) -> bytes:
    """Lose a block."""
    first = rng.randrange(len(data))
    return data[:first] + data[first + rng.choice((1, 2, 3, 8, 100, 5000)) :]


def blank(data: bytes, rng: random.Random) -> bytes:
    """Overwrite a block with one value."""
    first = rng.randrange(len(data))
    length = rng.choice((1, 4, 16, 512, 8192))
    return (
        data[:first]
        + bytes([rng.choice((0, 0xFF, 0x20, 0x41))]) * len(data[first : first + length])
        + data[first + length :]
    )


def swap(data: bytes, rng: random.Random) -> bytes:
    """Exchange two halves of a block."""
    first, middle, last = sorted(rng.randrange(len(data) + 1) for _ in range(3))
    return data[:first] + data[middle:last] + data[first:middle] + data[last:]


def edge(data: bytes, rng: random.Random, *, within: int | None = None) -> bytes:
    """Overwrite 2, 4 or 8 bytes with an integer at the edge of a type."""
    width = rng.choice((2, 4, 4, 8))
    at = rng.randrange(max(1, min(len(data), within or len(data)) - width))
    value = rng.choice(INTERESTING) % (1 << 8 * width)
    return data[:at] + value.to_bytes(width, rng.choice(("little", "big"))) + data[at + width :]


def edge_head(data: bytes, rng: random.Random) -> bytes:
    """Overwrite an integer of the header with one at the edge of its type."""
    return edge(data, rng, within=96)


def noise(data: bytes, rng: random.Random) -> bytes:
    """Return random bytes, with the first few of the original as often as not."""
    return data[: rng.choice((0, 4, 8, 12, 44))] + rng.randbytes(rng.choice((0, 1, 50, 5000)))


GENERAL: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flip": flip,
    "flip-head": flip_head,
    "truncate": truncate,
    "truncate-head": truncate_head,
    "insert": insert,
    "double": double,
    "delete": delete,
    "blank": blank,
    "swap": swap,
    "edge": edge,
    "edge-head": edge_head,
    "noise": noise,
}
"""Damage by name."""


def general_attacks(prefix: str) -> dict[str, Callable]:
    """Return the attacks that do each kind of damage to a good file whose name begins with `prefix`."""

    def attack(damage):
        return lambda rng, sources: (damage(sources.pick(rng, prefix), rng), False)

    return {name: attack(damage) for name, damage in GENERAL.items()}
