"""Every number of the README's tables stands in the JSON that a command wrote."""

import importlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_readmes_tables_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    tables = importlib.import_module("tables")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, section in tables.SECTIONS.items():
        begin, end = tables.marks(name)
        assert readme.split(begin)[1].split(end)[0] == section(ROOT / "examples" / "results"), name


def test_results_say_how_they_were_made_and_nothing_of_the_machine():
    for path in (ROOT / "examples" / "results").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert '"command"' in text and '"versions"' in text and '"seed"' in text, path.name
        assert '"/' not in text, f"{path.name} holds an absolute path"
