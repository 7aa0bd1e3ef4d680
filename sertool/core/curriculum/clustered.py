"""What a cluster run says of utterances: their clusters, vectors, and its own estimates."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sertool.core.corpus.manifest import Manifest
from sertool.core.curriculum.target import Target
from sertool.core.errors import InputError

if TYPE_CHECKING:
    from sertool.core.clustering.assignments import ClusteredUtterances


def cluster_parts(
    run: Path, manifest: Manifest, *, device: str, done: Callable[[int], object] = lambda count: None
) -> "ClusteredUtterances":
    """Apply a cluster run's model to utterances.

    Args:
        run: of `sertool cluster`.
        manifest: the utterances, in the order in which they are returned.
        device: where the model computes.
        done: called with how many more steps are done.

    Raises:
        InputError: the run cannot be used, or does not answer for every utterance.
    """
    from sertool.core.clustering.assignments import cluster_utterances

    found = cluster_utterances(run, manifest, device=device, done=done)
    if [Path(path) for path in found.paths] != manifest.paths():
        raise InputError(
            f"{run}: has clusters for {len(found.paths)} of {len(manifest)} utterances, or in another order; expected "
            "one for each: see which cannot be heard with 'sertool corpus check'"
        )
    return found


def own_estimates(found: "ClusteredUtterances", target: Target, run: Path) -> np.ndarray:
    """Return the cluster model's own outputs for a target: in-sample, since it learned from these labels.

    Args:
        found: what the model says of the utterances.
        target: what is to be estimated.
        run: what messages call the model.

    Returns:
        float64, (N, 1) for an attribute; for categories (N, C′), those of the target first, then what else it knows.

    Raises:
        InputError: the model did not learn the target.
    """
    wanted = target.classes if target.values is None else (target.name,)
    known = tuple(found.targets) if found.estimates is not None else ()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InputError(
            f"{run}: this cluster model does not estimate '{unknown[0]}', but {', '.join(known) or 'nothing'}; "
            "expected in-sample predictions of the target: say --predictions out-of-fold, or name another run"
        )
    order = wanted if target.values is not None else (*wanted, *(name for name in known if name not in wanted))
    return np.asarray(found.estimates, dtype=np.float64)[:, [known.index(name) for name in order]]
