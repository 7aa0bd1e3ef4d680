"""Write the README's result tables from the JSON in examples/results: `python examples/tables.py`."""

from pathlib import Path

from readme_tables.machinery import kmeans, referee_speed, robustness, speed, votes
from readme_tables.models import adaptation, clusters, curricula, pretext, scores, shipped
from readme_tables.noise import fixed_mixtures, joint_training_search, noise_robustness
from readme_tables.trust import abstention, false_alarms

HERE = Path(__file__).resolve().parent

SECTIONS = {
    **{"noise robustness": noise_robustness, "joint search": joint_training_search, "false alarms": false_alarms},
    **{"shipped": shipped, "fixed mixtures": fixed_mixtures, "abstention": abstention, "referee": referee_speed},
    **{"results": scores, "adaptation": adaptation, "clusters": clusters, "curricula": curricula},
    **{"pretext": pretext, "speed": speed, "k-means": kmeans, "votes": votes, "robustness": robustness},
}
"""What stands between the README's marks of each name."""


def marks(name: str) -> tuple[str, str]:
    """Return the lines between which a section's tables stand in the README."""
    return f"<!-- {name}: written by examples/tables.py -->\n", f"<!-- end of {name} -->"


def write(readme: Path, results: Path) -> None:
    """Put the tables between the README's marks."""
    text = readme.read_text(encoding="utf-8")
    for name, tables in SECTIONS.items():
        begin, end = marks(name)
        before, rest = text.split(begin)
        text = f"{before}{begin}{tables(results)}{end}{rest.split(end)[1]}"
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(HERE.parent / "README.md", HERE / "results")
