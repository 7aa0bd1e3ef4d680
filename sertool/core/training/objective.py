"""What a batch is judged by: the joint loss of emotion and enhancement (Tzeng et al., ICASSP 2025)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sertool.core.audio.compressed_spectra import num_frames as compressed_frames
from sertool.core.audio.spectra import stft_frames
from sertool.core.corpus.batches import Batch
from sertool.core.models.output import Crop, SharedOutput, cropped_lengths, spectrum_mask
from sertool.core.models.shared import SharedModel
from sertool.core.training.enhancement_losses import (
    SpectralWeights,
    clean_spectrum,
    spectral_losses,
    weighted_sum,
)
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
from sertool.core.training.pretext_settings import MASKED


@dataclass(frozen=True)
class UtteranceLoss:
    """Of a pre-training task with one label an utterance: its name, its weight, and its classes' weights (C,)."""

    name: str
    weight: float
    class_weights: Tensor


@dataclass(frozen=True)
class Objective:
    """Sum of the heads' losses: weighted cross-entropy (or divergence), 1 − CCC, and that of enhanced spectra, which is
    L1 between log1p spectra, or of the dual-path head `spectral_losses`.

    Of pre-training tasks, weighted cross-entropy of labels, and cross-entropy over the frames that were hidden.

    Attributes:
        class_weights: (C,), or None without categories.
        category_loss: of the label, or of the distribution of votes.
        attributes: whether the model estimates attributes.
        enhancement: whether it enhances.
        emotion_weight: of cross-entropy and of 1 − CCC.
        enhancement_weight: of the loss of enhanced spectra.
        crop_frames: spectral frames the enhancement head trains on; None for all.
        attribute_variances: of the training split, (A,); by these `utterance_losses` measures errors.
        tasks: pre-training tasks, in the order of their targets.
        masked_weight: of the cross-entropy over hidden frames; None without such a task.
        spectral: what the dual-path head learns from; None with the mask head.
    """

    class_weights: Tensor | None
    category_loss: CategoryLoss
    attributes: bool
    enhancement: bool
    emotion_weight: float
    enhancement_weight: float
    crop_frames: int | None
    attribute_variances: Tensor | None = None
    tasks: tuple[UtteranceLoss, ...] = ()
    masked_weight: float | None = None
    spectral: SpectralWeights | None = None

    @property
    def pretrains(self) -> bool:
        """Whether there are pre-training tasks beside enhancement."""
        return bool(self.tasks) or self.masked_weight is not None

    def hidden_frames(self, batch: Batch) -> dict[str, Tensor]:
        """Return what the model is to be told of frames to hide: nothing where none are predicted."""
        return {} if self.masked_weight is None else {"hidden_frames": batch.hidden_frames}

    def crop(self, batch: Batch) -> Crop | None:
        """Return the part of each utterance the enhancement head sees, as the batch's crop positions say."""
        if self.crop_frames is None:
            return None
        frames = self.spectral_frames(batch.lengths)
        num_frames = min(self.crop_frames, int(frames.max()))
        room = (frames - num_frames).clamp(min=0)
        return Crop(starts=(batch.crop_position * (room + 1)).long().clamp(max=room), num_frames=num_frames)

    def spectral_frames(self, lengths: Tensor) -> Tensor:
        """Return the frames that the enhancement head hears of utterances of these lengths in samples, (B,)."""
        return stft_frames(lengths) if self.spectral is None else compressed_frames(lengths)

    def denominators(self, batch: Batch) -> Tensor:
        """Return what the summed losses of this batch are to be divided by, (3 + P,).

        In turn: weights of the emotion classes; spectral frames; hidden frames; weights of each task's classes.
        """
        totals = torch.zeros(3 + len(self.tasks), device=batch.labels.device)
        if self.class_weights is not None:
            if self.category_loss == "cross-entropy":
                totals[0] = cross_entropy_denominator(batch.labels, self.class_weights)
            else:
                totals[0] = soft_denominator(batch.vote_shares, self.class_weights)
        if self.enhancement:
            frames, crop = self.spectral_frames(batch.lengths), self.crop(batch)
            totals[1] = (cropped_lengths(frames, crop) if crop else frames).sum()
        if self.masked_weight is not None:
            totals[2] = hidden_labels(batch).ge(0).sum()
        for i, task in enumerate(self.tasks):
            totals[3 + i] = cross_entropy_denominator(batch.targets[:, i], task.class_weights)
        return totals

    def losses(
        self, model: SharedModel, output: SharedOutput, batch: Batch, denominators: Tensor, ccc_gradient: Tensor | None
    ) -> dict[str, Tensor]:
        """Return this batch's weighted contribution to each loss of the whole, by name.

        Args:
            model: the bare model, for the target's spectrum.
            output: of the model on this batch, under `crop`.
            batch: the batch.
            denominators: of the whole, (3 + P,).
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
            total = self._enhancement_sum(model, output, batch)
            losses["enhancement"] = self.enhancement_weight * total / denominators[1]
        return losses | self._pretext_losses(output, batch, denominators)

    def _enhancement_sum(self, model: SharedModel, output: SharedOutput, batch: Batch) -> Tensor:
        """Return the loss of enhanced spectra, of each frame its mean over bins, summed over frames."""
        if self.spectral is not None:
            losses = self.spectral_losses(model, output, batch, self.crop(batch))
            return (weighted_sum(losses, self.spectral) * output.spectra.frame_lengths).sum()
        with torch.no_grad():
            target = model.clean_log_spectrum(batch.clean, batch.lengths, output.statistics, self.crop(batch))
        return l1_sum(output.enhanced_log_spectrum, target, spectrum_mask(output)) / target.shape[2]

    def spectral_losses(
        self, model: SharedModel, output: SharedOutput, batch: Batch, crop: Crop | None
    ) -> dict[str, Tensor]:
        """Return the losses of the dual-path head on each utterance by name, unweighted, (B,)."""
        head = model.enhancement_head
        with torch.no_grad():
            target = clean_spectrum(head, batch.clean, batch.lengths, output.spectra, crop)
        return spectral_losses(output.spectra, target, head.window, output.statistics, self.spectral)

    def _pretext_losses(self, output: SharedOutput, batch: Batch, denominators: Tensor) -> dict[str, Tensor]:
        losses = {}
        for i, task in enumerate(self.tasks):
            total = cross_entropy_sum(output.pretext_logits[task.name], batch.targets[:, i], task.class_weights)
            losses[task.name] = task.weight * total / denominators[3 + i].clamp(min=1e-8)
        if self.masked_weight is not None:
            logits, labels = output.cluster_logits, hidden_labels(batch)
            total = F.cross_entropy(
                logits[:, : labels.shape[1]].flatten(0, 1).float(), labels.flatten(), ignore_index=-1, reduction="sum"
            )
            losses[MASKED] = self.masked_weight * total / denominators[2].clamp(min=1)
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


def hidden_labels(batch: Batch) -> Tensor:
    """Return the label of each frame that is to be predicted, (B, T); -1 for those that are not hidden."""
    return batch.frame_labels.masked_fill(~batch.hidden_frames, -1)
