"""How far a number can be trusted: false alarms of tests, and when a model declines to answer."""

from pathlib import Path

from readme_tables.text import read

TESTS = {
    "sign_flip": "sign-flip over speakers",
    "interval_without_zero": "95 % interval leaves out 0",
    "mcnemar": "McNemar",
    "subset_t_test": "t-test, 15 subsets",
}


def false_alarms(results: Path) -> str:
    """Return the false-alarm rates of tests on simulated pairs of systems of which neither is better."""
    document = read(results / "false-alarms.json")
    lines = []
    for scenario in document["scenarios"] if document else ():
        speakers = [row["speakers"] for row in scenario["rows"]]
        lines += [f"{scenario['scenario'].capitalize()}: {scenario['about']}", ""]
        lines += [f"| speakers | {' | '.join(map(str, speakers))} |", f"|---|{'---|' * len(speakers)}"]
        for test, name in TESTS.items():
            cells = ["–" if not row[test] else f"{row[test]['rate']:.3f}" for row in scenario["rows"]]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def abstention(results: Path) -> str:
    """Return how often models decline to name an emotion, in speech and where nobody speaks."""
    lines: list[str] = []
    for file, model in (
        ("abstention", "a model with the mask head"),
        ("abstention-shipped", "the model of the package"),
    ):
        document = read(results / f"{file}.json")
        for name, split in document["splits"].items() if document else ():
            refused = split["refused"]
            if not lines:
                lines = [f"| declines in | {' | '.join(refused)} |", f"|---|{'---|' * len(refused)}"]
            cells = [f"{one['share']:.0%}" for one in refused.values()]
            lines.append(f"| {model}, {name} split, {split['utterances']} utterances | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
