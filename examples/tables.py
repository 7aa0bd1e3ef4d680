"""Write the README's result tables from the JSON in examples/results: `python examples/tables.py`."""

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- results: written by examples/tables.py -->\n", "<!-- end of results -->"

CORPORA = {"ravdess": "RAVDESS, fold 0, 8 classes", "emodb": "EmoDB, test speakers 03 and 08, 7 classes"}
ROWS = {
    "clean": "(a) emotion only, trained clean",
    "noise": "(b) emotion only, trained in noise",
    "joint": "(c) joint with enhancement, cascade",
}
MEASURES = {"pesq_wb": ("PESQ-WB", 2), "stoi": ("STOI", 3), "si_sdr": ("SI-SDR, dB", 1)}


def tables(results: Path) -> str:
    """Return the Markdown of all tables whose JSON is there."""
    parts = []
    for corpus, title in CORPORA.items():
        documents = {row: _read(results / f"{corpus}-{row}.json") for row in ROWS}
        documents = {row: document for row, document in documents.items() if document}
        if documents:
            parts.append(_emotion_table(title, documents))
        if "joint" in documents:
            parts.append(_speech_table(title, documents["joint"]))
    return "\n".join(parts)


def _emotion_table(title: str, documents: dict[str, dict]) -> str:
    conditions = [condition["condition"] for condition in next(iter(documents.values()))["conditions"]]
    count = next(iter(documents.values()))["conditions"][0]["n"]
    lines = [f"**{title}**: F1-macro / UA on {count} test utterances, one seed (n = 1).", ""]
    lines += [f"| | {' | '.join(conditions)} |", f"|---|{'---|' * len(conditions)}"]
    for row, document in documents.items():
        cells = [f"{_short(one['f1_macro'])} / {_short(one['ua'])}" for one in document["conditions"]]
        lines.append(f"| {ROWS[row]} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _speech_table(title: str, document: dict) -> str:
    conditions = document["conditions"]
    lines = [f"Speech quality of (c) on the same mixtures, unprocessed → enhanced ({title.split(',')[0]}):", ""]
    lines += [f"| | {' | '.join(one['condition'] for one in conditions)} |", f"|---|{'---|' * len(conditions)}"]
    for measure, (name, digits) in MEASURES.items():
        cells = []
        for one in conditions:
            pair = (one["speech"][measure][signal]["mean"] for signal in ("unprocessed", "enhanced"))
            cells.append(" → ".join("–" if value is None else f"{value:.{digits}f}" for value in pair))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _read(path: Path) -> dict | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".removeprefix("0")


def write(readme: Path, results: Path) -> None:
    """Put the tables between the README's marks."""
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    readme.write_text(f"{before}{BEGIN}{tables(results)}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    write(HERE.parent / "README.md", HERE / "results")
