"""Hostile CSV: broken text, paths to where nothing should be read, columns and fields without end."""

import csv
import io
import json
import random

from byte_mutators import general_attacks

NUMBERS = (
    "1e999",
    "-1e999",
    "inf",
    "-inf",
    "nan",
    "NaN",
    "1e308",
    "0x10",
    "1_000",
    "１２",
    "9" * 400,
    "-0",
    "1e-400",
    "",
    "3,5",
    "=1+1",
    "8",
    "0",
    "None",
)
CELLS = (
    "\0",
    "a\0b",
    "=cmd|'/c calc'!A1",
    "@SUM(A1)",
    "\u202egnp.exe",
    "\ud800",
    "x" * 200_000,
    "'; DROP TABLE x; --",
    "{{7*7}}",
    "%s%n",
    "\x1b[2J\x1b]0;title\x07",
    "\r",
    "\n\n",
    '"',
    '""',
    ",",
    " ",
    "\ufeff",
    "__import__('os').system('touch CANARY')",
    "é" * 300,
    "nan",
)
COLUMNS = (
    "file_name",
    "speaker",
    "split",
    "emotion",
    "arousal",
    "valence",
    "gender",
    "votes_anger",
    "clean_file",
    "snr_db",
    "noise_file",
    "noise_offset_s",
    "gain_db",
    "clean_digest",
    "kind",
    "noise_kind",
    "text",
    "corpus",
    "babble_files",
    "rir_file",
    "index",
    "__index_level_0__",
)


def rows_of(data: bytes) -> list[list[str]]:
    """Return the rows of a good CSV file."""
    return [row for row in csv.reader(io.StringIO(data.decode("utf-8"))) if row]


def text_of(rows: list[list[str]], *, end: str = "\n") -> bytes:
    """Return rows as CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator=end).writerows(rows)
    return out.getvalue().encode("utf-8", "surrogatepass")


def hostile_path(rng: random.Random, sources) -> str:
    """Return a path that should not be read, or not be there."""
    places = sources.places
    return rng.choice(
        (
            "/dev/zero",
            "/dev/urandom",
            "/dev/stdin",
            "/dev/tty",
            "/dev/fd/0",
            "/etc/passwd",
            "/proc/self/mem",
            "/proc/self/environ",
            "/proc/kmsg",
            "/",
            "/tmp",
            ".",
            "..",
            "../../../../etc/passwd",
            "a/../../b.wav",
            "..\\..\\b.wav",
            "~/x.wav",
            "$HOME/x.wav",
            "file:///etc/passwd",
            "http://localhost:9/x.wav",
            "\\\\host\\share\\x.wav",
            "CON",
            "x" * 5000 + ".wav",
            "a/" * 3000 + "x.wav",
            "-",
            "--help",
            " ",
            "\n",
            "a\0.wav",
            "\udcff.wav",
            places["fifo"],
            places["fifo"],
            places["canary"],
            places["audio"],
        )
    )


def _paths(rng, sources):
    rows = rows_of(sources.pick(rng, "csv"))
    column = rng.choice([i for i, name in enumerate(rows[0]) if name.endswith("file") or name == "file_name"])
    for row in rng.sample(rows[1:], rng.choice((1, 1, len(rows) - 1))):
        row[column] = hostile_path(rng, sources)
    return text_of(rows), False


def _cells(rng, sources):
    rows = rows_of(sources.pick(rng, "csv"))
    for _ in range(rng.randint(1, 5)):
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = rng.choice(CELLS)
    return text_of(rows), False


def _numbers(rng, sources):
    rows = rows_of(sources.pick(rng, "csv"))
    numeric = [
        i
        for i, name in enumerate(rows[0])
        if name.startswith("votes_") or name in ("arousal", "snr_db", "noise_offset_s", "gain_db")
    ]
    for _ in range(rng.randint(1, 5)):
        rng.choice(rows[1:])[rng.choice(numeric) if numeric else -1] = rng.choice(NUMBERS)
    return text_of(rows), False


def _header(rng, sources):
    rows = rows_of(sources.pick(rng, "csv"))
    for _ in range(rng.randint(1, 4)):
        rows[0][rng.randrange(len(rows[0]))] = rng.choice((*COLUMNS, *COLUMNS, *CELLS, ""))
    return text_of(rows), False


def _quotes(rng, sources):
    text = sources.pick(rng, "csv")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice((b'"', b'""', b'"\n', b",", b"\n", b"\r", b"\r\n", b"'", b"\\")) + text[at:]
    return text, False


def _ragged(rng, sources):
    rows = rows_of(sources.pick(rng, "csv"))
    for row in rng.sample(rows, min(3, len(rows))):
        row[:] = rng.choice((row[:-1], [*row, "more"], [], row * 3, row[:1]))
    return text_of(rows), False


def _endings(rng, sources):
    lines = sources.pick(rng, "csv").decode().split("\n")
    return "".join(
        line + rng.choice(("\n", "\r\n", "\r", "\n\n", "\x0b", "\x85", "\u2028")) for line in lines
    ).encode(), False


def _encoding(rng, sources):
    text = sources.pick(rng, "csv").decode().replace("neutral", rng.choice(("neutral", "n\u00e9utral", "\u4e2d\u7acb")))
    encoded = text.encode(
        rng.choice(("utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-8-sig", "utf-7", "shift_jis")), "replace"
    )
    return rng.choice((b"", b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xef\xbb\xbf\xef\xbb\xbf")) + encoded, False


def _wide(rng, sources):
    count = rng.choice((1000, 20_000, 100_000))
    rows = rows_of(sources.pick(rng, "csv"))[:3]
    more = [f"c{i}" for i in range(count)] if rng.random() < 0.7 else ["same"] * count
    return text_of(
        [[*rows[0], *more], *([*row, *["1"] * (count if rng.random() < 0.8 else 3)] for row in rows[1:])]
    ), False


def _long(rng, sources):
    """Many rows, all alike or all of files that are not there."""
    rows = rows_of(sources.pick(rng, "csv"))
    name = rows[0].index("file_name")
    template, count = rows[1], rng.choice((1000, 10_000))
    made = [[(cell if i != name else f"{n}.wav") for i, cell in enumerate(template)] for n in range(count)]
    return text_of([rows[0], *made]), True


def _field(rng, sources):
    """One field of a megabyte or more."""
    rows = rows_of(sources.pick(rng, "csv"))
    giant = rng.choice(("x", '"', "\n", ",", "é")) * rng.choice((131_073, 1_000_000, 3_000_000))
    row = rng.choice(rows)
    row[rng.randrange(len(row))] = giant
    return text_of(rows), False


def _other_kinds(rng, sources):
    """Something else under the name of a table."""
    return rng.choice(
        (
            b"PK\x03\x04" + rng.randbytes(500),
            b"\x1f\x8b\x08" + rng.randbytes(100),
            json.dumps([{"file_name": "a.wav"}]).encode(),
            b"file_name;emotion\na.wav;anger\n",
            b"file_name\temotion\na.wav\tanger\n",
            b"file_name\n",
            b"\n\n\n",
            b" ",
            b"file_name",
            b",,,,\n,,,,\n",
            b"\xef\xbb\xbf",
            b"sep=,\nfile_name,emotion\na.wav,anger\n",
            b"<html><table><tr><td>file_name</td></tr></table></html>",
            sources.pick(rng, "wav"),
            sources.pick(rng, "parquet"),
        )
    ), False


CSV_ATTACKS = {
    **general_attacks("csv"),
    "paths": _paths,
    "places": _paths,
    "cells": _cells,
    "numbers": _numbers,
    "header": _header,
    "quotes": _quotes,
    "ragged": _ragged,
    "endings": _endings,
    "encoding": _encoding,
    "wide": _wide,
    "long": _long,
    "field": _field,
    "other-kinds": _other_kinds,
}


class _Instead:
    """Sources in which files of one prefix stand for those of another."""

    def __init__(self, sources, prefix: str, instead: str) -> None:
        self.places, self._sources, self._prefix, self._instead = sources.places, sources, prefix, instead

    def pick(self, rng: random.Random, prefix: str) -> bytes:
        return self._sources.pick(rng, self._instead if prefix == self._prefix else prefix)


def _on(file: str, attack):
    return lambda rng, sources: (attack(rng, _Instead(sources, "csv", f"labels-{file.replace('/', '-')}"))[0], False)


LABEL_FILES = (
    "crema-d/tabulatedVotes.csv",
    "crema-d/summaryTable.csv",
    "crema-d/VideoDemographics.csv",
    "msp-podcast/Labels/labels_consensus.csv",
    "msp-podcast/Labels/labels_detailed.csv",
    "nemo/data.tsv",
    "iemocap/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt",
    "folder/metadata.jsonl",
)
"""Files by which corpora tell their labels, as `corpus/file`."""

LABEL_ATTACKS = {
    f"{file}: {name}": _on(file, attack)
    for name, attack in {
        **general_attacks("csv"),
        **{"cells": _cells, "header": _header, "quotes": _quotes, "ragged": _ragged, "endings": _endings},
        **{"encoding": _encoding, "field": _field, "other-kinds": _other_kinds},
    }.items()
    for file in LABEL_FILES
}
