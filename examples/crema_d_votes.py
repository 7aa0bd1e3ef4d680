"""What CREMA-D's raters made of its clips, by voice, face and both, from the corpus's own tables of votes.

    python examples/crema_d_votes.py --labels CREMA-D -o examples/results/crema-d-votes.json

The corpus paper (Cao et al., IEEE TAC 2014, abstract) gives human recognition of the intended emotion as 40.9 % by
voice, 58.2 % by face and 63.6 % by both. Nearest to these numbers, and we take it for the same kind of quantity, is
the share of single answers that name the intended emotion. `recognition.of_votes`, over all answers that the published
table counts, is 0.5 to 0.9 points lower; `recognition.of_votes_by_emotion_mean`, which weights the intended emotions
alike, 0.2 to 0.5. Which answers the paper counted, the table does not say. `recognition.of_clips` is another quantity:
the share of clips whose most frequent answer is the intended emotion.
"""

import argparse
import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sertool.core.corpus import crema_d
from sertool.core.environment import installed_versions
from sertool.core.evaluation.provenance import portable

FORMAT = "sertool-crema-d-votes-1"
TABLES = ("tabulatedVotes.csv", "summaryTable.csv")
EMOTIONS = tuple(crema_d.EMOTIONS.values())
PUBLISHED = {"voice": 0.409, "face": 0.582, "multimodal": 0.636}
RESULTS = Path(__file__).resolve().parent / "results" / "crema-d-votes.json"
NOTES = [
    "recognition.published is the corpus paper's human recognition of the intended emotion (Cao et al. 2014, abstract)."
    " We take it for a share of single answers, as of_votes is; which answers it counts, the tables do not say.",
    "recognition.of_clips is another quantity: the share of clips whose most frequent answer is the intended emotion; "
    "a tie is not.",
    "fleiss_kappa: the observed agreement is the mean over clips, each with its own number of raters.",
]


def fleiss_kappa(votes: np.ndarray) -> float:
    """Return Fleiss' kappa, the agreement of raters beyond chance, where clips have different numbers of raters.

    Observed agreement of clip i with n_i votes: P_i = Σ_j n_ij (n_ij − 1) / (n_i (n_i − 1)), the share of its pairs of
    raters who agree; their mean over clips is P. Agreement by chance: P_e = Σ_j p_j², p_j the share of category j among
    all votes. Kappa is (P − P_e) / (1 − P_e); with equal n_i it is that of Fleiss (Psychological Bulletin 1971).

    Args:
        votes: how often each category was chosen for each clip, (N, C); at least two votes a clip.
    """
    raters = votes.sum(axis=1)  # (N,)
    observed = ((votes * (votes - 1)).sum(axis=1) / (raters * (raters - 1))).mean()
    chance = ((votes.sum(axis=0) / votes.sum()) ** 2).sum()
    return float((observed - chance) / (1.0 - chance))


def mean_entropy_bits(votes: np.ndarray) -> float:
    """Return the mean over clips of the entropy of their votes (N, C), in bits: 0 where all raters agree."""
    shares = votes / votes.sum(axis=1, keepdims=True)
    return float(-(shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=1).mean())


def describe(votes: pd.DataFrame) -> dict[str, Any]:
    """Return what one channel's votes say.

    Args:
        votes: from `crema_d.read_votes`.

    Returns:
        JSON values: numbers of clips and votes, ties, recognition of the intended emotion, confusion counts (intended
        emotion, then what was voted for), mean entropy in bits and Fleiss' kappa.
    """
    intended = pd.Series(votes.index.str.split("_").str[2].map(crema_d.EMOTIONS), index=votes.index)
    perceived = crema_d.most_voted(votes)
    counts = votes.groupby(intended).sum().loc[list(EMOTIONS), [f"votes_{word}" for word in EMOTIONS]]  # (6, 6)
    recognised = np.diag(counts) / counts.sum(axis=1)
    by_clip = (perceived == intended).groupby(intended).mean()[list(EMOTIONS)]
    matrix = votes.to_numpy()
    raters = matrix.sum(axis=1)
    return {
        "clips": len(votes),
        "votes": int(raters.sum()),
        "votes_per_clip": {"min": int(raters.min()), "median": float(np.median(raters)), "max": int(raters.max())},
        "ties": int(perceived.isna().sum()),
        "recognition": {
            "of_votes": float(np.trace(counts) / counts.to_numpy().sum()),
            "of_votes_by_emotion": {word: float(recognised[word]) for word in EMOTIONS},
            "of_votes_by_emotion_mean": float(recognised.mean()),
            "of_clips": float((perceived == intended).mean()),
            "of_clips_by_emotion": {word: float(by_clip[word]) for word in EMOTIONS},
        },
        "confusion": {word: {other: int(counts.at[word, f"votes_{other}"]) for other in EMOTIONS} for word in EMOTIONS},
        "mean_entropy_bits": mean_entropy_bits(matrix),
        "fleiss_kappa": fleiss_kappa(matrix),
    }


def document(labels: Path, command: list[str]) -> dict[str, Any]:
    """Return everything as one JSON document.

    Args:
        labels: the folder of the corpus's tables.
        command: as given.
    """
    channels = {}
    for channel in crema_d.CHANNELS:
        votes = crema_d.read_votes(labels / TABLES[0], channel)
        same, compared = crema_d.agreement_with_summary(votes, labels / TABLES[1], channel)
        channels[channel] = describe(votes)
        channels[channel]["recognition"]["published"] = PUBLISHED[channel]
        channels[channel]["summary_table"] = {"compared": compared, "same": same}
    versions = {"python": platform.python_version(), **installed_versions(["sertool", "numpy", "pandas", "pyarrow"])}
    files = {name: hashlib.sha256((labels / name).read_bytes()).hexdigest() for name in TABLES}
    return {
        "format": FORMAT,
        "command": portable(command),
        "seed": None,
        "versions": versions,
        "data": {"corpus": "crema-d", "sha256": files},
        "notes": NOTES,
        "channels": channels,
    }


def main() -> None:
    """Write the document and print the shares the paper gives beside ours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=Path, required=True, help="folder of tabulatedVotes.csv and summaryTable.csv")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="the JSON file to write")
    arguments = parser.parse_args()
    command = ["python", "examples/crema_d_votes.py", "--labels", arguments.labels.resolve().name]
    found = document(arguments.labels, [*command, "-o", str(arguments.output.resolve())])
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    arguments.output.write_text(text, encoding="utf-8")
    for channel, values in found["channels"].items():
        share = values["recognition"]
        sys.stdout.write(f"{channel}: {share['of_votes']:.1%} of votes, published {share['published']:.1%}\n")


if __name__ == "__main__":
    main()
