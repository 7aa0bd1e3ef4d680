"""How well a cluster model tells emotion: scores of utterances, whose chunks are averaged."""

import numpy as np

from sertool.core.clustering.config import ClusterConfig
from sertool.core.clustering.inputs import Part
from sertool.core.corpus.derived_attributes import label
from sertool.core.errors import InputError
from sertool.core.metrics.emotion import category_scores, ccc


def utterance_means(values: np.ndarray, utterance: np.ndarray) -> np.ndarray:
    """Return the mean over each utterance's sentences.

    Args:
        values: of each sentence, (S, D).
        utterance: index of the utterance each sentence is of, (S,), from 0 to N - 1, each at least once.

    Returns:
        float64, (N, D).
    """
    counts = np.bincount(utterance)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, utterance, values)
    return sums / counts[:, None]


def judge(estimates: np.ndarray, part: Part, config: ClusterConfig) -> dict[str, float]:
    """Score estimates (N, outputs) of a part's utterances.

    Returns:
        `ccc_<attribute>` of each attribute, `ccc_<attribute>_derived` where it is derived from the category; or
        `f1_macro` and `ua`; and `score`, by which the best epoch is chosen: the mean CCC, or F1-macro.

    Raises:
        InputError: no score can be had.
    """
    if config.categories:
        names = np.array(config.categories)
        true = part.utterances.labels
        result = category_scores(list(names[true]), list(names[estimates.argmax(1)]), config.categories)
        return {"f1_macro": result["f1_macro"], "ua": result["ua"], "score": result["f1_macro"]}
    scores = {}
    for index, name in enumerate(config.attributes):
        true = part.utterances.attributes[:, index]
        rated = ~np.isnan(true)
        value = ccc(true[rated].tolist(), estimates[rated, index].tolist())
        if value is not None:
            # The name goes wherever the score goes, so it is there that a derived attribute is told from a rated one.
            scores["_".join(filter(None, ("ccc", name, label(part.sources).replace(" ", "_"))))] = value
    if not scores:
        raise InputError("no CCC can be had on the dev split: its attributes never vary; expected some that do")
    return {**scores, "score": float(np.mean(list(scores.values())))}
