"""The classical row of a robustness table: functionals of speech and a support vector machine, trained in noise.

    python examples/functionals_svm.py MANIFEST --train-noise DIR --noise DIR --snr clean --snr 0 -o predictions.csv
    sertool evaluate MANIFEST --noise DIR --snr clean --snr 0 --predictions predictions.csv

The train split is heard several times, each time with another noise at an SNR from -5 to 15 dB, and some of it clean.
Features are standardised on that; kernel, C and gamma are those best on the dev split, which is heard in recordings of
the training noise that are kept for it, and the probabilities are fitted there too. The test split is heard in the very
mixtures `sertool evaluate` judges a model on: its draws, its seed.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from functionals import functionals
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import f1_score
from sklearn.svm import SVC

from sertool.core.audio.files import read_audio
from sertool.core.corpus.babble import BabbleSet
from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.corpus.mixing import Mixer, SnrChoice, parse_snr
from sertool.core.corpus.noise import NoiseSet, check_disjoint
from sertool.core.corpus.splits import check_disjoint as check_speakers
from sertool.core.engine import map_tasks
from sertool.core.errors import SertoolError
from sertool.core.evaluation.protocol import Protocol, check_noise
from sertool.core.evaluation.results import name_conditions
from sertool.core.randomness import generator_for
from sertool.core.writing import write_text

TRAINING_SNR = SnrChoice(span=(-5.0, 15.0))
CLEAN_SHARE = 0.15
DEV_SNRS = (None, 10.0, 5.0, 0.0, -5.0)

LINEAR_C = (0.1, 0.3, 1.0, 3.0)
RBF_C = (1.0, 3.0, 10.0)
RBF_GAMMA = (0.1, 0.3, 0.6)
"""What is tried. Kernels are divided by the number of features, so that these do not depend on it."""

MOST_DEVIATIONS = 6.0
"""Where standardised features are cut off: noise takes some far beyond anything heard in training."""


@dataclass(frozen=True)
class Hearing:
    """How an utterance is heard once: at an SNR in dB, None for clean speech and NaN for a drawn one; its epoch."""

    snr_db: float | None
    epoch: int = 0


def main() -> None:
    """Extract, search, train, predict, write."""
    options = _parser().parse_args()
    try:
        run(options)
    except SertoolError as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--train-noise", type=Path, help="of training; a fifth of its recordings is kept for dev")
    parser.add_argument("--noise", type=Path, help="of the test")
    parser.add_argument("--babble", type=Path, help="manifest of speech to make babble of, for the test")
    parser.add_argument("--snr", action="append", required=True, help="in dB, or clean; as for sertool evaluate")
    parser.add_argument("--seed", type=int, default=0, help="of the test mixtures; as for sertool evaluate")
    parser.add_argument("--training-seed", type=int, default=0, help="of the draws of training noise")
    parser.add_argument("--copies", type=int, default=4, help="times the train split is heard")
    parser.add_argument("--clean-training", action="store_true", help="train and search on clean speech alone")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser


def run(options: argparse.Namespace) -> pd.DataFrame:
    """Do what was asked for and return the table of predictions as written."""
    manifest = Manifest.read(options.manifest, require=("emotion", "speaker", "split"))
    manifest = manifest.where(manifest.table["emotion"].notna())
    check_speakers(manifest)
    protocol = Protocol(
        snr=parse_snr(options.snr, allow_clean=True),
        noise=NoiseSet.read(options.noise) if options.noise else None,
        babble=BabbleSet.read(options.babble) if options.babble else None,
        seed=options.seed,
    )
    check_noise(protocol, manifest)
    mixers = _training_mixers(options, protocol)
    train, dev, test = (manifest.split(name) for name in ("train", "dev", "test"))
    began = time.monotonic()
    heard = [
        _extract(train, _training_hearings(train, options), mixers["train"], options.workers),
        _extract(dev, _dev_hearings(dev, options), mixers["dev"], options.workers),
        _extract(
            test, [[Hearing(snr_db) for snr_db in protocol.conditions]] * len(test), protocol.mixer(), options.workers
        ),
    ]
    print(f"functionals of {sum(len(x) for x, _ in heard)} signals: {time.monotonic() - began:.0f} s", file=sys.stderr)
    classifier = search(*heard[0], *heard[1])
    print(f"search and training: {time.monotonic() - began:.0f} s in all", file=sys.stderr)
    table = _table(test, protocol.conditions, classifier, heard[2][0], options.training_seed)
    write_text(options.output, table.to_csv(index=False, lineterminator="\n"))
    return table


def _training_mixers(options: argparse.Namespace, protocol: Protocol) -> dict[str, Mixer | None]:
    """Return what mixes the train and the dev split."""
    if options.clean_training:
        return {"train": None, "dev": None}
    if options.train_noise is None:
        raise SertoolError("there is no noise to train in: name it with --train-noise, or say --clean-training")
    sets = {part: NoiseSet.read(options.train_noise, part=part) for part in ("train", "dev")}
    for noise_set in sets.values() if protocol.noise is not None else ():
        check_disjoint(noise_set, protocol.noise)
    return {part: Mixer(noise_set, TRAINING_SNR, options.training_seed) for part, noise_set in sets.items()}


def _training_hearings(manifest: Manifest, options: argparse.Namespace) -> list[list[Hearing]]:
    if options.clean_training:
        return [[Hearing(None)]] * len(manifest)
    hearings = []
    for path in manifest.paths():
        draws = generator_for("clean share", options.training_seed, utterance_key(path)).random(options.copies)
        hearings.append([Hearing(None if draw < CLEAN_SHARE else np.nan, epoch) for epoch, draw in enumerate(draws)])
    return hearings


def _dev_hearings(manifest: Manifest, options: argparse.Namespace) -> list[list[Hearing]]:
    return [[Hearing(snr_db) for snr_db in ((None,) if options.clean_training else DEV_SNRS)]] * len(manifest)


def _extract(
    manifest: Manifest, hearings: Sequence[list[Hearing]], mixer: Mixer | None, workers: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return functionals (N, F) and categories (N,), utterance by utterance and hearing by hearing."""
    items = list(zip(manifest.paths(), hearings, strict=True))
    found = []
    for outcome in map_tasks(
        _features, items, workers=workers, describe=lambda item: str(item[0]), setup=_kept, setup_args=(mixer,)
    ):
        if outcome.error is not None:
            raise outcome.error
        found.append(outcome.value)
    emotions = [str(emotion) for emotion in manifest.table["emotion"]]
    labels = np.repeat(np.array(emotions), [len(each) for each in hearings])
    return np.concatenate(found), labels


def _kept(mixer: Mixer | None) -> Mixer | None:
    return mixer


def _features(item: tuple[Path, list[Hearing]], mixer: Mixer | None) -> np.ndarray:
    """Return the functionals of one utterance, (hearings, F)."""
    path, hearings = item
    samples, key = read_audio(path), utterance_key(path)
    found = []
    for hearing in hearings:
        if hearing.snr_db is None:
            found.append(functionals(samples))
            continue
        snr_db = None if np.isnan(hearing.snr_db) else hearing.snr_db
        found.append(functionals(mixer.mix(samples, key, epoch=hearing.epoch, snr_db=snr_db).noisy))
    return np.stack(found)


@dataclass(frozen=True)
class Classifier:
    """A trained machine.

    Attributes:
        machine: on a kernel of its own training features.
        gamma: of the RBF kernel; None for the linear one.
        training: standardised features it was trained on, (N, F).
        mean: of each feature in training, (F,).
        deviation: of each feature in training, (F,).
        sharpness: factor of the decision values whose softmax is the probabilities.
        trials: what was tried and the F1-macro on the dev split.
    """

    machine: SVC
    gamma: float | None
    training: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    sharpness: float
    trials: tuple[dict, ...]

    @property
    def classes(self) -> list[str]:
        """Categories, in the order of the probabilities."""
        return [str(name) for name in self.machine.classes_]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each category, (N, C); the greatest is the prediction."""
        scaled = _standardised(features, self.mean, self.deviation)
        return softmax(self.sharpness * _decisions(self.machine, _kernel(scaled, self.training, self.gamma)), axis=1)


def search(train: np.ndarray, labels: np.ndarray, dev: np.ndarray, dev_labels: np.ndarray) -> Classifier:
    """Return the machine whose F1-macro on the dev split is best; the first of equals.

    Args:
        train: features, (N, F).
        labels: categories, (N,).
        dev: features, (M, F).
        dev_labels: categories, (M,).
    """
    mean, deviation = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    train, dev = (_standardised(features, mean, deviation) for features in (train, dev))
    trials, best = [], None
    for gamma, costs in ((None, LINEAR_C), *((gamma, RBF_C) for gamma in RBF_GAMMA)):
        within, across = _kernel(train, train, gamma), _kernel(dev, train, gamma)
        for cost in costs:
            machine = SVC(C=cost, kernel="precomputed", class_weight="balanced", cache_size=1000).fit(within, labels)
            decisions = _decisions(machine, across)
            predicted = machine.classes_[decisions.argmax(axis=1)]
            score = f1_score(dev_labels, predicted, average="macro", labels=machine.classes_, zero_division=0)
            trials.append({"kernel": "rbf" if gamma else "linear", "gamma": gamma, "C": cost, "dev_f1_macro": score})
            print(trials[-1], file=sys.stderr)
            if best is None or score > best[0]:
                best = (score, machine, gamma, decisions)
    _, machine, gamma, decisions = best
    sharpness = _sharpness(decisions, np.searchsorted(machine.classes_, dev_labels))
    return Classifier(machine, gamma, train, mean, deviation, sharpness, tuple(trials))


def _standardised(features: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    scaled = (features - mean) / np.maximum(deviation, 1e-9)
    return np.clip(scaled, -MOST_DEVIATIONS, MOST_DEVIATIONS).astype(np.float32)


def _kernel(features: np.ndarray, training: np.ndarray, gamma: float | None) -> np.ndarray:
    """Return the kernel between rows of two tables of features, (N, M), float64."""
    inner = (features @ training.T).astype(np.float64)
    if gamma is None:
        return inner / features.shape[1]
    squares = (np.sum(table.astype(np.float64) ** 2, axis=1) for table in (features, training))
    distances = np.maximum(0.0, next(squares)[:, None] + next(squares)[None] - 2.0 * inner)
    return np.exp(-gamma / features.shape[1] * distances)


def _decisions(machine: SVC, kernel: np.ndarray) -> np.ndarray:
    """Return a value for each category, (N, C): votes of the pairs, and within a vote how sure they are."""
    values = machine.decision_function(kernel)
    return values if values.ndim == 2 else np.column_stack([-values, values])


def _sharpness(decisions: np.ndarray, true: np.ndarray) -> float:
    """Return the factor that gives the categories of the dev split the greatest likelihood."""

    def surprise(log_factor: float) -> float:
        return -float(np.mean(log_softmax(np.exp(log_factor) * decisions, axis=1)[np.arange(len(true)), true]))

    return float(np.exp(minimize_scalar(surprise, bounds=(-5.0, 2.5), method="bounded").x))


def _table(
    manifest: Manifest, conditions: Sequence[float | None], classifier: Classifier, features: np.ndarray, seed: int
) -> pd.DataFrame:
    probabilities = classifier.probabilities(features)
    rows = pd.DataFrame(_names(manifest, conditions), columns=["file_name", "snr_db"])
    rows["snr_db"] = pd.to_numeric(rows["snr_db"])
    rows.insert(1, "condition", name_conditions(rows["snr_db"]))
    rows["seed"] = seed
    rows["predicted"] = np.array(classifier.classes)[probabilities.argmax(axis=1)]
    shares = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classifier.classes])
    return pd.concat([rows, shares], axis=1)


def _names(manifest: Manifest, conditions: Sequence[float | None]) -> Iterator[tuple[str, float | None]]:
    return ((str(name), snr_db) for name in manifest.table["file_name"] for snr_db in conditions)


if __name__ == "__main__":
    main()
