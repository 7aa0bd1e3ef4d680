"""How good enhanced spectra are on the dev split, by the losses their head learns from."""

import torch
from torch import Tensor

from sertool.core.audio.spectra import NUM_BINS
from sertool.core.corpus.batches import Batch
from sertool.core.models.output import SharedOutput, spectrum_mask
from sertool.core.models.shared import SharedModel
from sertool.core.training.enhancement_losses import weighted_sum
from sertool.core.training.losses import l1_sum
from sertool.core.training.objective import Objective


class EnhancementScores:
    """Adds up errors over batches; means over all frames are formed at the end, as one batch would have them."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.names = ("l1",) if objective.spectral is None else ("spectral_loss", *objective.spectral.used)
        self._sums = torch.zeros(len(self.names) + 1, dtype=torch.float64)

    def add(self, model: SharedModel, output: SharedOutput, batch: Batch) -> None:
        """Add a batch that the model gave this output on."""
        spectral = self.objective.spectral
        if spectral is None:
            target = model.clean_log_spectrum(batch.clean, batch.lengths, output.statistics, None)
            mask = spectrum_mask(output)
            sums = [l1_sum(output.enhanced_log_spectrum, target, mask), mask.sum() * NUM_BINS]
        else:
            losses, frames = self.objective.spectral_losses(model, output, batch, None), output.spectra.frame_lengths
            losses = {"spectral_loss": weighted_sum(losses, spectral)} | losses
            sums = [*((losses[name] * frames).sum() for name in self.names), frames.sum()]
        self._sums += torch.tensor([value.item() for value in sums], dtype=torch.float64)

    def totals(self) -> Tensor:
        """Return the sums so far, float64, for several processes to add."""
        return self._sums

    def scores(self, totals: Tensor) -> dict[str, float]:
        """Return the means by name: `l1` per bin; or `spectral_loss`, the weighted sum, and its parts.

        Of these `si_sdr` is in dB, and not negated.
        """
        means = dict(zip(self.names, (totals[:-1] / totals[-1]).tolist(), strict=True))
        return means | ({"si_sdr": -means["si_sdr"]} if "si_sdr" in means else {})

    def loss(self, scores: dict[str, float]) -> float:
        """Return, of these scores, the loss that is learned from."""
        return scores[self.names[0]]
