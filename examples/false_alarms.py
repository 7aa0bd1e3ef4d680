"""How often do tests call two systems different that are not? Simulated pairs of systems, at 2 to 100 speakers.

    python examples/false_alarms.py [--simulations 1000] [--seed 0] [--workers 1] [-o RESULTS.json]

Two systems recognise six emotions, half of the utterances of each, and agree more often than by chance: an utterance
hard for one is hard for the other, and so is a speaker. In the population of speakers neither is better. Which
speakers are met is drawn anew every time. The share of simulations with p < .05 is the false-alarm rate; where a test
keeps its word it is .05 at most.
"""

import argparse
import functools
import json
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from sertool.core.engine import map_tasks
from sertool.core.environment import installed_versions
from sertool.core.metrics.bootstrap import confusion_intervals, difference_intervals
from sertool.core.metrics.mcnemar import mcnemar
from sertool.core.metrics.sign_flip import sign_flip_test
from sertool.core.metrics.speaker_confusions import FEWEST_SPEAKERS, SpeakerConfusions, f1_macro
from sertool.core.metrics.subset_t_test import FEWEST_UTTERANCES, subset_t_test
from sertool.core.randomness import generator_for

FORMAT = "sertool-false-alarms-1"
RESULTS = Path(__file__).resolve().parent / "results" / "false-alarms.json"
SPEAKERS = (2, 4, 8, 16, 24, 50, 100)
ALPHA = 0.05
DRAWS = 1_000  # of the sampled test and of intervals, fewer than usual: that hardly changes the rates

CLASSES = ("neutral", "anger", "fear", "happiness", "sadness", "surprise")
UTTERANCES = 64  # of a speaker, so that 24 speakers have the 1,500 that the t-test over subsets asks for
PRIOR = (0.10, 0.14, 0.16, 0.18, 0.20, 0.22)  # of the classes
MISTAKEN = (0.40, 0.25, 0.15, 0.12, 0.08)  # for which other class, the next one first
RIGHT = 0.5  # share recognised, over all speakers
COMMON = 0.5  # share of utterances on which both systems draw the same luck

NOTES = [
    "Speakers are 64 utterances each. Both systems recognise half of each class; a speaker is easier or harder for "
    "both (deviation .07), and so is an utterance (uniform, ± .2).",
    f"sign_flip below {FEWEST_SPEAKERS} speakers is the test itself; a comparison gives no verdict there, and no "
    "interval.",
    "interval_without_zero: the interval of the difference in F1-macro leaves 0 out; interval_without_truth: the "
    "interval of one system's F1-macro leaves out that of the population of speakers.",
    "subset_t_test is made from 1,500 utterances up: from 24 speakers here.",
    "Each rate stands with its 95 % interval (Clopper & Pearson 1934) over the simulations.",
]


@dataclass(frozen=True)
class Scenario:
    """How two systems differ.

    Attributes:
        about: a sentence.
        effects: by how much ours recognises more of each of so many speakers' utterances, (S,), a share.
        attracted: share of our errors that are "neutral", whatever was said; the other system's go by `MISTAKEN`.
        advantage: what ours recognises more of all speakers' utterances, a share.
    """

    about: str
    effects: Callable[[np.random.Generator, int], np.ndarray]
    attracted: float = 0.0
    advantage: float = 0.0


def no_effects(generator: np.random.Generator, speakers: int) -> np.ndarray:
    """Return effects of 0: no speaker is easier for one of the two."""
    return np.zeros(speakers)


def symmetric_effects(generator: np.random.Generator, speakers: int) -> np.ndarray:
    """Return normal effects of deviation .1, at most .3 in size."""
    return np.clip(generator.normal(0.0, 0.1, speakers), -0.3, 0.3)


def skewed_effects(generator: np.random.Generator, speakers: int) -> np.ndarray:
    """Return -.06 for three speakers of four and .18 for the fourth: mean 0, deviation .1."""
    return np.where(generator.random(speakers) < 0.25, 0.18, -0.06)


def population_f1(right: float, attracted: float) -> float:
    """Return F1-macro over all speakers of a system that recognises a share of each class and errs as said."""
    errors = np.zeros((len(CLASSES), len(CLASSES)))
    for true in range(len(CLASSES)):
        for step, share in enumerate(MISTAKEN, start=1):
            errors[true, (true + step) % len(CLASSES)] = share
    errors[1:] = (1 - attracted) * errors[1:] + attracted * np.eye(len(CLASSES))[0]
    confusion = np.array(PRIOR)[:, None] * (right * np.eye(len(CLASSES)) + (1 - right) * errors)
    counts = np.stack([np.diag(confusion), confusion.sum(0), confusion.sum(1)])
    return float(f1_macro(1e6 * counts))


TRUTH = population_f1(RIGHT, 0.0)


def as_good(attracted: float) -> float:
    """Return how much more a system recognises whose errors are attracted, where its F1-macro is that of the other."""
    low, high = -0.3, 0.3
    for _ in range(50):
        middle = (low + high) / 2
        worse = population_f1(RIGHT + middle, attracted) < TRUTH
        low, high = (middle, high) if worse else (low, middle)
    return low


SCENARIOS = {
    "exchangeable": Scenario("The two differ in luck alone, as trainings that differ by seed.", no_effects),
    "speaker effects": Scenario(
        "Some speakers are easier for one, others for the other, symmetrically: none is better over all speakers.",
        symmetric_effects,
    ),
    "skewed speaker effects": Scenario(
        "Three speakers of four are a little easier for one, the fourth much easier for the other: none is better over "
        "all speakers, but the systems are not exchangeable, and no test of these is exact.",
        skewed_effects,
    ),
    "other errors": Scenario(
        "Half of our errors are 'neutral'; it recognises so much less that F1-macro is the same over all speakers. The "
        "systems are not exchangeable, and no test of these is exact.",
        symmetric_effects,
        attracted=0.5,
        advantage=as_good(0.5),
    ),
}


def draw_pair(
    scenario: Scenario, speakers: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, our predictions and theirs, places in `CLASSES`, each (S, `UTTERANCES`)."""
    shape = (speakers, UTTERANCES)
    labels = generator.choice(len(CLASSES), shape, p=PRIOR)
    ease = np.clip(generator.normal(0.0, 0.07, (speakers, 1)), -0.15, 0.15) + generator.uniform(-0.2, 0.2, shape)
    effects = scenario.effects(generator, speakers)[:, None] / 2
    same = generator.random(shape) < COMMON
    luck, steps = generator.random((2, *shape)), 1 + generator.choice(len(MISTAKEN), (2, *shape), p=MISTAKEN)
    luck[1], steps[1] = np.where(same, luck[0], luck[1]), np.where(same, steps[0], steps[1])
    mistaken = (labels + steps) % len(CLASSES)
    attracted = (generator.random(shape) < scenario.attracted) & (labels != 0)
    mistaken[0] = np.where(attracted, 0, mistaken[0])
    right = luck < RIGHT + ease + np.stack([effects + scenario.advantage, -effects])
    ours, theirs = np.where(right, labels, mistaken)
    return labels, ours, theirs


def simulate(scenario: Scenario, speakers: int, generator: np.random.Generator, *, seed: int) -> dict[str, bool]:
    """Return for each test whether it calls one pair of systems different, those left out that cannot be made."""
    labels, *predicted = draw_pair(scenario, speakers, generator)
    ours, theirs = (count(labels, guesses) for guesses in predicted)
    found = {
        "sign_flip": sign_flip_test(ours.confusions, theirs.confusions, seed=seed, draws=DRAWS)["p"] < ALPHA,
        "mcnemar": mcnemar(*((guesses == labels).ravel() for guesses in predicted))["p"] < ALPHA,
    }
    if not ours.too_few():
        apart = difference_intervals(ours, theirs, seed=seed, draws=DRAWS)["f1_macro"]
        alone = confusion_intervals(theirs, seed=seed, draws=DRAWS)["f1_macro"]
        found["interval_without_zero"] = not apart[0] <= 0 <= apart[1]
        found["interval_without_truth"] = not alone[0] <= TRUTH <= alone[1]
    if labels.size < FEWEST_UTTERANCES:
        return found
    true, ours, theirs = (np.array(CLASSES)[part.ravel()].tolist() for part in (labels, *predicted))
    t_test = subset_t_test(true, [ours], [theirs], CLASSES, seed=seed)
    return found | {"subset_t_test": t_test["p"] is not None and t_test["p"] < ALPHA}


def count(labels: np.ndarray, predicted: np.ndarray) -> SpeakerConfusions:
    """Return the confusions of each speaker, one training."""
    confusions = np.zeros((len(labels), 1, len(CLASSES), len(CLASSES)), dtype=np.int64)
    np.add.at(confusions, (np.arange(len(labels))[:, None], 0, labels, predicted), 1)
    return SpeakerConfusions(confusions, speakers=len(labels))


TESTS = ("sign_flip", "interval_without_zero", "interval_without_truth", "mcnemar", "subset_t_test")


def rates(place: tuple[str, int], *, simulations: int, seed: int) -> dict[str, Any]:
    """Return how often each test finds a difference: `rate` and its `interval`; None where it cannot be made.

    Args:
        place: the scenario and the number of speakers.
        simulations: how many pairs of systems.
        seed: of these.
    """
    name, speakers = place
    found = [
        simulate(SCENARIOS[name], speakers, generator_for("false alarms", seed, name, speakers, index), seed=index)
        for index in range(simulations)
    ]
    row: dict[str, Any] = {"speakers": speakers, "utterances": speakers * UTTERANCES}
    for test in TESTS:
        hits = sum(bool(one[test]) for one in found) if test in found[0] else None
        row[test] = None if hits is None else _rate(hits, simulations)
    return row


def _rate(hits: int, simulations: int) -> dict[str, Any]:
    interval = stats.binomtest(hits, simulations).proportion_ci(0.95)
    return {"rate": hits / simulations, "interval": [round(float(interval.low), 4), round(float(interval.high), 4)]}


def document(
    *, simulations: int, seed: int, speakers: Sequence[int], command: list[str], workers: int = 1
) -> dict[str, Any]:
    """Return everything as one JSON document."""
    places = [(name, number) for name in SCENARIOS for number in speakers]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SCENARIOS}
    cell = functools.partial(rates, simulations=simulations, seed=seed)
    for outcome in map_tasks(cell, places, workers=workers):
        row = outcome.value
        rows[outcome.item[0]].append(row)
        said = ", ".join(f"{test} {row[test]['rate']:.3f}" for test in TESTS if row[test])
        print(f"{outcome.item[0]}, {row['speakers']} speakers: {said}", file=sys.stderr, flush=True)
    scenarios = [{"scenario": name, "about": SCENARIOS[name].about, "rows": rows[name]} for name in SCENARIOS]
    packages = ["sertool", "numpy", "scipy", "scikit-learn"]
    return {
        "format": FORMAT,
        "command": command,
        "seed": seed,
        "versions": {"python": platform.python_version(), **installed_versions(packages)},
        "simulations": simulations,
        "draws": DRAWS,
        "alpha": ALPHA,
        "notes": NOTES,
        "scenarios": scenarios,
    }


def main() -> None:
    """Simulate and write the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000, help="pairs of systems for each rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes to use")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="the JSON file to write")
    options = parser.parse_args()
    command = ["python", "examples/false_alarms.py", "--simulations", str(options.simulations)]
    command += ["--seed", str(options.seed), "-o", options.output.name]
    found = document(
        simulations=options.simulations,
        seed=options.seed,
        speakers=SPEAKERS,
        command=command,
        workers=options.workers,
    )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
