"""Hostile safetensors: tensors that are not where they are said to be, or no numbers."""

import json
import math
import struct

from byte_mutators import general_attacks


def parts_of(data: bytes) -> tuple[dict, bytes]:
    """Return header and tensors of a good safetensors file."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def joined(header, tensors: bytes, *, size: int | None = None) -> bytes:
    """Return a safetensors file, whose header's length may lie."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", (len(text) if size is None else size) % 2**64) + text + tensors


def _length(rng, sources):
    header, tensors = parts_of(sources.pick(rng, "safetensors"))
    size = rng.choice((0, 1, 7, 100_000_000, 100_000_001, 2**31, 2**63, 2**64 - 1, 2**40))
    return joined(header, tensors, size=size), True


def _entries(rng, sources):
    """Names, shapes, types and offsets that lie."""
    header, tensors = parts_of(sources.pick(rng, "safetensors"))
    names = [name for name in header if name != "__metadata__"]
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(names)
        entry = header.setdefault(name, {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]})
        kind = rng.randrange(7)
        if kind == 0:
            entry["shape"] = rng.choice(
                (
                    [],
                    [0],
                    [2**32, 2**32],
                    [2**63, 2],
                    [10**9, 10**9],
                    [-1],
                    [1.5],
                    ["1"],
                    [1] * 5000,
                    None,
                    entry["shape"][::-1],
                )
            )
        elif kind == 1:
            entry["dtype"] = rng.choice(
                ("F16", "BF16", "F64", "I8", "I64", "BOOL", "F8_E5M2", "C64", "object", "", None, 5)
            )
        elif kind == 2:
            entry["data_offsets"] = rng.choice(
                (
                    [0, 0],
                    [0, 4],
                    [4, 0],
                    [0, 2**63],
                    [-4, 0],
                    [2**64 - 4, 2**64],
                    None,
                    [0],
                    entry["data_offsets"][::-1],
                )
            )
        elif kind == 3:
            header[name.replace(".", "/") if rng.random() < 0.5 else "x" * 10_000] = header.pop(name)
            names = [known for known in names if known in header]
        elif kind == 4:
            other = header.get(rng.choice(names))
            if other:
                entry["data_offsets"] = other["data_offsets"]
        elif kind == 5:
            header["__metadata__"] = rng.choice(
                ({"format": "pt"}, {"a": 1}, {"x" * 1000: "y" * 1_000_000}, [], None, "x")
            )
        else:
            header.pop(name)
            names = [known for known in names if known in header]
    return joined(header, tensors), False


def _same_place(rng, sources):
    """Every tensor lies at the same place."""
    header, tensors = parts_of(sources.pick(rng, "safetensors"))
    for name, entry in header.items():
        if name != "__metadata__":
            entry["data_offsets"] = [0, entry["data_offsets"][1] - entry["data_offsets"][0]]
    return joined(header, tensors), True


def _not_numbers(rng, sources):
    """Weights that are NaN, infinite or enormous."""
    header, tensors = parts_of(sources.pick(rng, "safetensors"))
    damaged = bytearray(tensors)
    value = rng.choice((math.nan, math.inf, -math.inf, 3e38, -3e38, 1e30))
    everywhere = rng.random() < 0.5
    for _ in range(1 if not everywhere else len(damaged) // 4):
        at = rng.randrange(len(damaged) // 4) * 4
        struct.pack_into("<f", damaged, at, value)
    return joined(header, bytes(damaged)), not math.isfinite(value)


def _odd_header(rng, sources):
    header, tensors = parts_of(sources.pick(rng, "safetensors"))
    depth = rng.choice((100, 100_000))
    text = rng.choice(
        (
            b"",
            b"{",
            b"{}",
            b"[]",
            b"null",
            b"\xff" * 64,
            b"[" * depth,
            b'{"a":' * depth,
            json.dumps(header).encode() + b" " * 1_000_000,
            json.dumps(
                {
                    **header,
                    **{
                        f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [len(tensors)] * 2}
                        for i in range(20_000)
                    },
                }
            ).encode(),
        )
    )
    return joined(text, tensors), False


def _other_weights(rng, sources):
    """A pickle, a zip, or another model's weights under the name of safetensors."""
    canary = sources.places["canary"].encode() + b".ran"
    pickle = b"\x80\x04cos\nsystem\n(S'touch " + canary + b"'\ntR."
    return rng.choice(
        (
            pickle,
            b"PK\x03\x04" + pickle,
            b"",
            b"\0" * 8,
            b"\0" * 4096,
            sources.pick(rng, "wav"),
            b"\x93NUMPY\1\0v\0{'descr': '|O'}" + pickle,
            sources.pick(rng, "safetensors") + b"more",
        )
    ), True


WEIGHTS_ATTACKS = {
    **general_attacks("safetensors"),
    "length": _length,
    "entries": _entries,
    "entries-again": _entries,
    "entries-more": _entries,
    "same-place": _same_place,
    "not-numbers": _not_numbers,
    "not-numbers-again": _not_numbers,
    "odd-header": _odd_header,
    "other-weights": _other_weights,
}
