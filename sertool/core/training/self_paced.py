"""Self-paced learning: the utterances a model finds easy by now come first (Kumar, Packer & Koller, NeurIPS 2010).

An utterance is learned from while its loss lies below a threshold, which rises. Here the pacing says how many are to be
in play, and the threshold is the loss at which so many are; losses are measured whenever a bin comes in.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from sertool.core.corpus.batches import Pick, UtteranceDataset, load_batches
from sertool.core.errors import InputError
from sertool.core.models.shared import SharedModel
from sertool.core.training.objective import Objective
from sertool.core.training.processes import told_once
from sertool.core.training.recipe import Recipe
from sertool.core.training.validation import batches_by_length, own_batches
from sertool.core.writing import write_text

LOSSES_NAME = "self_paced.json"
"""The losses that the bins in play are made by, beside the state of a run: they cannot be measured again later."""


@dataclass(frozen=True)
class SelfPaced:
    """What the model's own losses are measured with, and where they are kept.

    Attributes:
        model: the bare model.
        dataset: the training split.
        objective: of the run.
        recipe: of the run.
        accelerator: splits the batches over the processes.
        folder: of the run's state.
    """

    model: SharedModel
    dataset: UtteranceDataset
    objective: Objective
    recipe: Recipe
    accelerator: Accelerator
    folder: Path

    def losses(self, epoch: int, *, begun: bool, between: Callable[[], None]) -> np.ndarray:
        """Return the losses that the bins in play are made by: stored, or measured now and stored.

        Args:
            epoch: with which the newest bin came in.
            begun: whether that epoch has begun, so that the model is another by now.
            between: as in `measure`.

        Returns:
            float32, (N,), the same in all processes.

        Raises:
            InputError: the stored losses are damaged, or missing.
            OutputError: the losses cannot be written.
        """
        with told_once():
            losses = self._stored(epoch)
            if losses is None and begun:
                raise InputError(
                    f"{self.folder}: lacks {LOSSES_NAME} of epoch {epoch}; expected the losses this epoch's bins are "
                    "made by: restore it, or train anew with --overwrite"
                )
        if losses is None:
            losses = self.measure(epoch, between=between)
            if self.accelerator.is_main_process:
                content = {"epoch": epoch, "losses": losses.tolist()}
                write_text(self.folder / LOSSES_NAME, json.dumps(content) + "\n")
        return losses

    # Not inference_mode: what sharded weights are gathered into there could not be trained with afterwards.
    @torch.no_grad()
    def measure(self, epoch: int, *, between: Callable[[], None]) -> np.ndarray:
        """Return the emotion loss of every training utterance as an epoch will hear it (ours), without dropout.

        Args:
            epoch: whose noise, cuts and speeds are heard.
            between: called before each batch, equally often in all processes; may raise to end early.

        Returns:
            float32, (N,), the same in all processes.
        """
        self.model.eval()
        lengths_s = np.minimum(self.dataset.utterances.durations_s, self.recipe.data.max_s)
        plan = [[Pick(int(index), epoch) for index in batch] for batch in batches_by_length(lengths_s)]
        mine, along = own_batches(plan, self.accelerator)
        losses = torch.zeros(len(self.dataset), device=self.accelerator.device)
        for number, batch in enumerate(load_batches(self.dataset, mine + along, workers=self.recipe.data.workers)):
            between()
            batch = batch.to(self.accelerator.device)
            with self.accelerator.autocast():
                output = self.model(batch.noisy, batch.lengths, self.objective.crop(batch))
            if number < len(mine):
                losses[batch.indices] = self.objective.utterance_losses(output, batch)
        if self.accelerator.num_processes > 1:
            losses = self.accelerator.reduce(losses, "sum")
        return losses.cpu().numpy()

    def _stored(self, epoch: int) -> np.ndarray | None:
        path = self.folder / LOSSES_NAME
        if not path.is_file():
            return None
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["epoch"] != epoch:
                return None
            losses = np.array(stored["losses"], dtype=np.float32)
            if losses.shape != (len(self.dataset),) or not np.isfinite(losses).all():
                raise ValueError("it holds no loss of each utterance")
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise InputError(
                f"{path}: is damaged ({error}); expected the losses a bin was made by: train anew with --overwrite"
            ) from error
        return losses
