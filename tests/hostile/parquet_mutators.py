"""Hostile Parquet: footers and pages that lie, types no manifest has, columns that unpack without end."""

import functools
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
from byte_mutators import edge, general_attacks
from csv_mutators import COLUMNS, hostile_path


def _parquet(table: pa.Table, **options) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def _table(sources, rng) -> pa.Table:
    return pq.read_table(io.BytesIO(sources.pick(rng, "parquet")))


def _footer(rng, sources):
    """A footer whose length lies, or whose bytes are damaged."""
    data = sources.pick(rng, "parquet")
    size = int.from_bytes(data[-8:-4], "little")
    if rng.random() < 0.3:
        return data[:-8] + rng.choice((0, 1, size + 9, size - 1, 2**31 - 1, 2**32 - 1)).to_bytes(4, "little") + data[
            -4:
        ], False
    body, footer = data[: -8 - size], bytearray(data[-8 - size : -8])
    for _ in range(rng.randint(1, 6)):
        footer[rng.randrange(len(footer))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return body + bytes(footer) + data[-8:], False


def _pages(rng, sources):
    """Pages whose headers or contents are damaged, under a footer that is right."""
    data = sources.pick(rng, "parquet")
    size = int.from_bytes(data[-8:-4], "little")
    body = bytearray(data[4 : -8 - size])
    for _ in range(rng.randint(1, 8)):
        body[rng.randrange(len(body))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return data[:4] + bytes(body) + data[-8 - size :], False


def _with_column(rng, sources):
    """A column of a type no manifest has: nested, binary, dates, dictionaries, nulls, extension types."""
    table = _table(sources, rng)
    n = table.num_rows
    column = rng.choice(
        (
            pa.array([[1, 2]] * n),
            pa.array([{"a": {"b": [1]}}] * n),
            pa.array([b"\xff\xfe\0"] * n),
            pa.array([None] * n),
            pa.array([True] * n),
            pa.array([2**63 - 1] * n),
            pa.array([1.5] * n, pa.float32()),
            pa.array([0] * n, pa.timestamp("ns")),
            pa.array([0] * n, pa.date32()),
            pa.array([0] * n, pa.duration("s")),
            pa.array(["x"] * n).dictionary_encode(),
            pa.array([3] * n).dictionary_encode(),
            pa.array(["x"] * n, pa.large_string()),
            pa.array([[("k", 1)]] * n, pa.map_(pa.string(), pa.int64())),
            pa.array([float("nan")] * n),
            pa.array([float("inf")] * n),
            pa.array([1e308] * n),
            pa.array([b"1234"] * n, pa.binary(4)),
        )
    )
    name = rng.choice((*COLUMNS, "other"))
    if name in table.column_names:
        return _parquet(table.set_column(table.column_names.index(name), name, column)), False
    return _parquet(table.append_column(name, column)), False


def _pandas_range(start: int, stop: int, step: int) -> bytes:
    """Return metadata that tells pandas of an index it should count out."""
    index = {"kind": "range", "start": start, "stop": stop, "step": step, "name": None}
    return json.dumps({"columns": [], "index_columns": [index], "column_indexes": []}).encode()


def _metadata(rng, sources):
    """Key-value metadata that lies about pandas and Arrow, or holds a pickle."""
    table = _table(sources, rng)
    pickle = b"cos\nsystem\n(S'touch " + sources.places["canary"].encode() + b".ran'\ntR."
    pandas = rng.choice(
        (
            b"not json",
            b"{}",
            b"[]",
            b"null",
            b'{"columns": 7, "index_columns": "x"}',
            b'{"columns": [], "index_columns": ["file_name"], "column_indexes": []}',
            b'{"columns": [], "index_columns": ["missing"], "column_indexes": []}',
            _pandas_range(0, 10**12, 1),
            _pandas_range(0, 5, 0),
            b"[" * 100_000,
            pickle,
        )
    )
    metadata = {
        rng.choice((b"pandas", b"pandas", b"ARROW:schema", b"ARROW:extension:metadata", b"huggingface")): pandas
    }
    if rng.random() < 0.3:
        kind = {
            b"ARROW:extension:name": rng.choice((b"arrow.py_extension_type", b"arrow.json", b"arrow.opaque", b"x")),
            b"ARROW:extension:metadata": pickle,
        }
        table = table.append_column(pa.field("ext", pa.binary(), metadata=kind), pa.array([pickle] * table.num_rows))
    return _parquet(table.replace_schema_metadata(metadata), store_schema=rng.random() < 0.5), False


@functools.lru_cache(maxsize=32)
def table_bomb(rows: int, columns: int, kind: str) -> bytes:
    """Return a small Parquet file that unpacks to gigabytes: one value, said once and meant `rows` times."""
    names = ["file_name", *(f"c{i}" for i in range(columns))]
    if kind == "dictionary":
        return _parquet(pa.table(dict.fromkeys(names, _constant(rows))), row_group_size=2**30, store_schema=False)
    if kind == "nulls":
        return _parquet(pa.table(dict.fromkeys(names, pa.nulls(rows, pa.string()))), row_group_size=2**30)
    zeros = pa.array([0], pa.int64()).take(pa.Array.from_buffers(pa.int8(), rows, [None, pa.py_buffer(bytes(rows))]))
    return _parquet(pa.table(dict.fromkeys(names, zeros)), use_dictionary=False, compression=kind, row_group_size=2**30)


def _constant(rows: int) -> pa.DictionaryArray:
    indices = pa.Array.from_buffers(pa.int8(), rows, [None, pa.py_buffer(bytes(rows))])
    return pa.DictionaryArray.from_arrays(
        indices, pa.array(["a rather long name for a file, to be said over and over/" * 4 + "a.wav"])
    )


def _bomb(rng, sources):
    kind = rng.choice(("dictionary", "dictionary", "nulls", "zstd", "snappy"))
    # Snappy packs to a twentieth: what is larger than some megabytes is no bomb.
    rows = 1_000_000 if kind == "snappy" else rng.choice((1_000_000, 5_000_000))
    return table_bomb(rows, rng.choice((1, 12)), kind), True


def _wide_parquet(rng, sources):
    table = _table(sources, rng)
    count = rng.choice((500, 5000))
    return _parquet(
        pa.table({**{name: table[name] for name in table.column_names}, **{f"c{i}": table[0] for i in range(count)}})
    ), False


def _double_names(rng, sources):
    table = _table(sources, rng)
    names = list(table.column_names)
    names[rng.randrange(len(names))] = rng.choice(("file_name", "emotion", "", "\0", "x" * 100_000, "a.b", "\n"))
    return _parquet(table.rename_columns(names)), False


def _parquet_paths(rng, sources):
    table = _table(sources, rng)
    names = table["file_name"].to_pylist()
    for _ in range(rng.choice((1, len(names)))):
        names[rng.randrange(len(names))] = hostile_path(rng, sources).encode("utf-8", "replace").decode()
    return _parquet(table.set_column(table.column_names.index("file_name"), "file_name", pa.array(names))), False


def _parquet_edges(rng, sources):
    data = sources.pick(rng, "parquet")
    return edge(data[: len(data) // 2], rng) + data[len(data) // 2 :], False


def _empty(rng, sources):
    table = _table(sources, rng)
    return _parquet(rng.choice((table.slice(0, 0), pa.table({}), table.select([])))), True


PARQUET_ATTACKS = {
    **general_attacks("parquet"),
    "footer": _footer,
    "footer-again": _footer,
    "pages": _pages,
    "pages-again": _pages,
    "types": _with_column,
    "metadata": _metadata,
    "bomb": _bomb,
    "wide": _wide_parquet,
    "names": _double_names,
    "paths": _parquet_paths,
    "edges": _parquet_edges,
    "empty": _empty,
}
