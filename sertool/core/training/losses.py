"""Losses of the whole batch, however it is cut over processes and accumulation steps.

Weighted cross-entropy and masked L1 are sums over a global denominator, which labels and lengths alone determine; so it
is known before the first step of an update. The concordance correlation coefficient (CCC) does not decompose: its
gradient is taken with respect to the gathered predictions, then handed back to each of them.
"""

from typing import Literal

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

CategoryLoss = Literal["cross-entropy", "soft-cross-entropy", "kl-divergence"]
"""Losses over the classes: of the label, or of the distribution of the annotators' votes."""


def class_weights(counts: Tensor) -> Tensor:
    """Return N / (C * n_c) for each class, (C,); 0 for a class without utterances.

    Args:
        counts: training utterances of each class, or the sum of its shares of votes, (C,).
    """
    counts = counts.to(torch.float32)
    return torch.where(counts > 0, counts.sum() / (len(counts) * counts.clamp(min=1e-8)), torch.zeros_like(counts))


def cross_entropy_sum(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the summed weighted cross-entropy; divide by `cross_entropy_denominator` of the whole batch.

    Args:
        logits: (B, C).
        labels: class indices, (B,); -1 where an utterance has no label.
        weights: of the classes, (C,).
    """
    return F.cross_entropy(logits.float(), labels, weight=weights, ignore_index=-1, reduction="sum")


def cross_entropy_denominator(labels: Tensor, weights: Tensor) -> Tensor:
    """Return the weights of all labelled utterances, summed."""
    return weights[labels[labels >= 0]].sum()


def soft_cross_entropy_sum(logits: Tensor, shares: Tensor, weights: Tensor) -> Tensor:
    """Return the summed cross-entropy against distributions, sum of w_c * p_c * -log q_c over utterances and classes.

    Divide by `soft_denominator` of the whole batch. Where every distribution is one-hot this is `cross_entropy_sum`.

    Args:
        logits: (B, C).
        shares: of the annotators for each class, (B, C); rows sum to 1, or to 0 where nothing is known.
        weights: of the classes, (C,).
    """
    return -(shares * weights * logits.float().log_softmax(1)).sum()


def kl_divergence_sum(logits: Tensor, shares: Tensor, weights: Tensor) -> Tensor:
    """Return the summed divergence of predictions from distributions; arguments as in `soft_cross_entropy_sum`.

    An utterance counts by the mean weight of its classes, sum of w_c * p_c, so that its own minimum stays at q = p; in
    weighted cross-entropy the minimum moves to the heavier classes. Divide by `soft_denominator` of the whole batch.
    """
    return (kl_divergence(logits, shares) * (shares @ weights)).sum()


def kl_divergence(logits: Tensor, shares: Tensor) -> Tensor:
    """Return KL(p || q) in nats of each prediction q from a distribution p, (B,); 0 where p is a row of zeros.

    Args:
        logits: (B, C).
        shares: p, (B, C).
    """
    return (torch.xlogy(shares, shares) - shares * logits.float().log_softmax(1)).sum(1)


def category_losses(logits: Tensor, labels: Tensor, shares: Tensor, kind: CategoryLoss) -> Tensor:
    """Return the loss of each utterance on its own, every class weighing the same, (B,); NaN without label or votes.

    Args:
        logits: (B, C).
        labels: class indices, (B,); -1 where an utterance has no label.
        shares: of the annotators for each class, (B, C); rows of zeros where nothing is known. (B, 0) for a label.
        kind: the loss.
    """
    if kind == "cross-entropy":
        losses = F.cross_entropy(logits.float(), labels, ignore_index=-1, reduction="none")
        return losses.masked_fill(labels < 0, torch.nan)
    if kind == "kl-divergence":
        losses = kl_divergence(logits, shares)
    else:
        losses = -(shares * logits.float().log_softmax(1)).sum(1)
    return losses.masked_fill(shares.sum(1) == 0, torch.nan)


def soft_denominator(shares: Tensor, weights: Tensor) -> Tensor:
    """Return the weights of all utterances' classes by their shares, summed."""
    return (shares @ weights).sum()


def l1_sum(estimate: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the absolute error summed over real frames and bins; divide by frames × bins of the whole batch.

    Args:
        estimate: (B, T, F).
        target: (B, T, F).
        mask: real frames, bool, (B, T).
    """
    return ((estimate - target).abs() * mask[:, :, None]).sum()


def ccc(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the concordance correlation coefficient of each column, (A,); differentiable.

    CCC = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))²), population statistics. Rows of `true` that are NaN do
    not count. A column with fewer than two labelled rows gives 0, with no gradient.

    Args:
        predicted: (N, A).
        true: (N, A).
    """
    labelled = ~torch.isnan(true)
    count = labelled.sum(0).clamp(min=1)
    x = torch.where(labelled, predicted.float(), torch.zeros_like(true))
    y = torch.where(labelled, true, torch.zeros_like(true))
    mean_x, mean_y = x.sum(0) / count, y.sum(0) / count
    dx, dy = (x - mean_x) * labelled, (y - mean_y) * labelled
    covariance = (dx * dy).sum(0) / count
    spread = (dx.square() + dy.square()).sum(0) / count + (mean_x - mean_y).square()
    return 2 * covariance / spread.clamp(min=1e-8)


def ccc_gradient(predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss mean(1 - CCC) over all gathered rows, and its gradient by each prediction, (N, A)."""
    leaf = predicted.detach().float().requires_grad_()
    with torch.enable_grad():
        loss = (1 - ccc(leaf, true)).mean()
        (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), gradient


def whole_ccc_gradient(
    predicted: list[Tensor], true: list[Tensor], accelerator: Accelerator
) -> tuple[Tensor, list[Tensor]]:
    """Return 1 − CCC of what all processes predicted, and its gradient by what this one did.

    Args:
        predicted: of each of this process's steps, float32, (B, A).
        true: likewise; NaN where an utterance has no label.
        accelerator: gathers the predictions.

    Returns:
        The loss, and for each step the gradient, (B, A).
    """
    mine = torch.cat(predicted)
    pair = torch.cat([mine, torch.cat(true)], dim=1)
    start, everyone = 0, pair
    if accelerator.num_processes > 1:
        padded = accelerator.pad_across_processes(pair, pad_index=float("nan"))
        everyone, start = accelerator.gather(padded), accelerator.process_index * len(padded)
    estimates, truths = everyone.chunk(2, dim=1)
    loss, gradient = ccc_gradient(estimates, truths)
    return loss, list(gradient[start : start + len(mine)].split([len(part) for part in predicted]))
