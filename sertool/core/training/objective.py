"""What a batch is judged by: the joint loss of emotion and enhancement (Tzeng et al., ICASSP 2025)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sertool.core.audio.spectra import HOP, stft_frames
from sertool.core.corpus.batches import Batch
from sertool.core.models.shared import Crop, SharedModel, SharedOutput, cropped_lengths, spectrum_mask
from sertool.core.training.losses import (
    CategoryLoss,
    category_losses,
    cross_entropy_denominator,
    cross_entropy_sum,
    kl_divergence_sum,
    l1_sum,
    soft_cross_entropy_sum,
    soft_denominator,
)


@dataclass(frozen=True)
class Objective:
    """Sum of the heads' losses: weighted cross-entropy (or divergence), 1 − CCC, and L1 between log1p spectra.

    Attributes:
        class_weights: (C,), or None without categories.
        category_loss: of the label, or of the distribution of votes.
        attributes: whether the model estimates attributes.
        enhancement: whether it enhances.
        emotion_weight: of cross-entropy and of 1 − CCC.
        enhancement_weight: of L1.
        crop_frames: spectral frames the enhancement head trains on; None for all.
        attribute_variances: of the training split, (A,); by these `utterance_losses` measures errors.
    """

    class_weights: Tensor | None
    category_loss: CategoryLoss
    attributes: bool
    enhancement: bool
    emotion_weight: float
    enhancement_weight: float
    crop_frames: int | None
    attribute_variances: Tensor | None = None

    def crop(self, batch: Batch) -> Crop | None:
        """Return the part of each utterance the enhancement head sees, as the batch's crop positions say."""
        if self.crop_frames is None:
            return None
        longest = 1 + batch.noisy.shape[1] // HOP
        num_frames = min(self.crop_frames, longest)
        room = (stft_frames(batch.lengths) - num_frames).clamp(min=0)
        return Crop(starts=(batch.crop_position * (room + 1)).long().clamp(max=room), num_frames=num_frames)

    def denominators(self, batch: Batch) -> Tensor:
        """Return what the summed losses of this batch are to be divided by: class weights, and frames × bins, (2,)."""
        totals = torch.zeros(2, device=batch.labels.device)
        if self.class_weights is not None:
            if self.category_loss == "cross-entropy":
                totals[0] = cross_entropy_denominator(batch.labels, self.class_weights)
            else:
                totals[0] = soft_denominator(batch.vote_shares, self.class_weights)
        if self.enhancement:
            frames, crop = stft_frames(batch.lengths), self.crop(batch)
            totals[1] = (cropped_lengths(frames, crop) if crop else frames).sum()
        return totals

    def losses(
        self, model: SharedModel, output: SharedOutput, batch: Batch, denominators: Tensor, ccc_gradient: Tensor | None
    ) -> dict[str, Tensor]:
        """Return this batch's weighted contribution to each loss of the whole, by name.

        Args:
            model: the bare model, for the target's spectrum.
            output: of the model on this batch, under `crop`.
            batch: the batch.
            denominators: of the whole, (2,).
            ccc_gradient: of 1 − CCC of the whole with respect to this batch's attributes, (B, A).
        """
        losses = {}
        if self.class_weights is not None:
            total = self._category_sum(output.category_logits, batch)
            losses["category"] = self.emotion_weight * total / denominators[0].clamp(min=1e-8)
        if ccc_gradient is not None:
            # Its value means nothing; its gradient is that of 1 - CCC over all predictions of the update.
            losses["attribute"] = self.emotion_weight * (output.attributes.float() * ccc_gradient).sum()
        if self.enhancement:
            crop = self.crop(batch)
            with torch.no_grad():
                target = model.clean_log_spectrum(batch.clean, batch.lengths, output.statistics, crop)
            total = l1_sum(output.enhanced_log_spectrum, target, spectrum_mask(output))
            losses["enhancement"] = self.enhancement_weight * total / (denominators[1] * target.shape[2])
        return losses

    @torch.no_grad()
    def utterance_losses(self, output: SharedOutput, batch: Batch) -> Tensor:
        """Return the emotion loss of each utterance on its own, (B,); NaN where nothing is known of its emotion.

        It is what a curriculum tells utterances apart by, not what is trained on. Classes weigh the same, so that none
        is hard for being rare. 1 − CCC is of a whole batch; in its place stands the squared error, in variances of
        the training split, its mean over the attributes an utterance has: 1 for guesses at their means (ours).
        """
        losses = []
        if self.class_weights is not None:
            losses.append(category_losses(output.category_logits, batch.labels, batch.vote_shares, self.category_loss))
        if self.attributes:
            errors = (output.attributes.float() - batch.attributes).square() / self.attribute_variances
            losses.append(errors.nanmean(1))
        known = torch.stack(losses, dim=1)
        return known.nansum(1).masked_fill(known.isnan().all(1), torch.nan)

    def _category_sum(self, logits: Tensor, batch: Batch) -> Tensor:
        if self.category_loss == "cross-entropy":
            return cross_entropy_sum(logits, batch.labels, self.class_weights)
        soft_sum = kl_divergence_sum if self.category_loss == "kl-divergence" else soft_cross_entropy_sum
        return soft_sum(logits, batch.vote_shares, self.class_weights)
