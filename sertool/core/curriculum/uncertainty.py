"""Monte-Carlo dropout: how sure a head is of an utterance, asked with dropout left on (Gal & Ghahramani, ICML 2016)."""

import numpy as np
import torch

from sertool.core.curriculum.out_of_fold import FoldedHeads
from sertool.core.curriculum.small_head import SmallHead
from sertool.core.randomness import seed_for

PASSES = 20
"""Ours."""


def dropout_outputs(heads: FoldedHeads, vectors: np.ndarray, *, seed: int, passes: int = PASSES) -> np.ndarray:
    """Return what heads say with units left out, pass by pass.

    A pass leaves out the same units for every utterance, drawn from (seed, pass): one thinned network judges them all,
    so that an utterance's uncertainty depends neither on the others nor on their order.

    Args:
        heads: which head judges which utterance.
        vectors: (N, D).
        seed: of the draws.
        passes: how often each utterance is judged, P.

    Returns:
        Logits or estimates, float64, (P, N, outputs).
    """

    def outputs_of(head: SmallHead, own: np.ndarray) -> np.ndarray:
        generators = (torch.Generator().manual_seed(seed_for("dropout pass", seed, number)) for number in range(passes))
        return np.stack([head.outputs(own, head.kept_units(1, generator)) for generator in generators])

    return heads.judge(vectors, outputs_of)


def predictive_entropy(logits: np.ndarray) -> np.ndarray:
    """Return the entropy in nats of the mean over passes of the class probabilities, (N,), from logits (P, N, C)."""
    return _entropy(_probabilities(logits).mean(0))


def bald(logits: np.ndarray) -> np.ndarray:
    """Return how much the passes differ, in nats, (N,): entropy of their mean less the mean of their entropies.

    It is the mutual information of an utterance's class and the network's weights, the part of the uncertainty that
    more data would remove (BALD, Houlsby et al. 2011).

    Args:
        logits: (P, N, C).
    """
    probabilities = _probabilities(logits)
    return np.maximum(_entropy(probabilities.mean(0)) - _entropy(probabilities).mean(0), 0.0)


def variance(estimates: np.ndarray) -> np.ndarray:
    """Return the variance over passes of an attribute's estimates, (N,), from (P, N, 1)."""
    return estimates[:, :, 0].var(0)


def _probabilities(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    return -(probabilities * np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))).sum(-1)
