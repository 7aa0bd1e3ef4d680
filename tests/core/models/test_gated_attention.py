"""Attention with gated position bias, against its definition and torch's numerical gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import booleans, integers
from torch import Tensor

from sertool.core.models import gated_attention as module
from sertool.core.models.gated_attention import blockwise_attention, fused_attention, gated_attention


def attend_by_definition(query, key, value, gate, bias, padded) -> Tensor:
    frames = query.shape[1]
    distance = torch.arange(frames)[None] - torch.arange(frames)[:, None]  # key - query
    logits = torch.einsum("bihd,bjhd->bhij", query, key) / query.shape[-1] ** 0.5
    logits = logits + gate.permute(0, 2, 1)[..., None] * bias[:, distance + frames - 1]
    if padded is not None:
        logits = logits.masked_fill(padded[:, None, None], -torch.inf)
    return torch.einsum("bhij,bjhd->bihd", logits.softmax(-1), value)


def arguments(batch=2, frames=5, heads=3, dim=4, *, dtype=torch.float64, device="cpu") -> list[Tensor]:
    """Query, key, value, gate and bias, of which all need a gradient."""
    generator = torch.Generator().manual_seed(frames)
    shapes = [(batch, frames, heads, dim)] * 3 + [(batch, frames, heads), (heads, 2 * frames - 1)]
    tensors = [torch.randn(shape, generator=generator, dtype=torch.float64).to(device) for shape in shapes]
    wide = torch.promote_types(dtype, torch.float32)
    return [t.to(dtype if i < 3 else wide).requires_grad_() for i, t in enumerate(tensors)]


def padding(batch: int, frames: int, device: str = "cpu") -> Tensor:
    """The first utterance has no padding, each further one a frame more, but never nothing else."""
    lengths = (frames - torch.arange(batch)).clamp(min=1)
    return (torch.arange(frames) >= lengths[:, None]).to(device)


@settings(max_examples=40)
@given(
    batch=integers(1, 3),
    frames=integers(1, 9),
    heads=integers(1, 3),
    block=integers(1, 60),
    pad=booleans(),
    half=booleans(),
)
def test_equals_the_definition_whatever_the_blocks(batch, frames, heads, block, pad, half):
    tensors = arguments(batch, frames, heads)
    padded = padding(batch, frames) if pad else None
    expected = attend_by_definition(*tensors, padded)
    if half:
        tensors = [t.bfloat16() if i < 3 else t.float() for i, t in enumerate(tensors)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_WEIGHTS", block)
        context = gated_attention(*tensors, padded, 0.0)
    assert context.dtype == tensors[0].dtype
    torch.testing.assert_close(context.double(), expected, **({"atol": 0.05, "rtol": 0.05} if half else {}))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_are_the_numerical_ones(monkeypatch, dropout):
    monkeypatch.setattr(module, "BLOCK_WEIGHTS", 2 * 5)  # two rows of one head a block
    seed = torch.tensor(7) if dropout else None

    def attend(*tensors: Tensor) -> Tensor:
        return blockwise_attention(*tensors, padding(2, 5), seed, dropout)[0]

    assert torch.autograd.gradcheck(attend, arguments(), fast_mode=True)


def test_dropout_drops_its_share_and_keeps_the_mean():
    frames = 256
    tensors = arguments(1, frames, 1, frames)
    tensors[2] = torch.eye(frames, dtype=torch.float64)[None, :, None]  # the context is the weights themselves
    plain = blockwise_attention(*tensors, None, None, 0.0)[0]
    weights = blockwise_attention(*tensors, None, torch.tensor(1), 0.25)[0]
    kept = weights != 0
    assert kept.double().mean().item() == pytest.approx(0.75, abs=0.01)
    torch.testing.assert_close(weights[kept], plain[kept] / 0.75)
    assert torch.equal(weights, blockwise_attention(*tensors, None, torch.tensor(1), 0.25)[0])
    assert not torch.equal(weights, blockwise_attention(*tensors, None, torch.tensor(2), 0.25)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_an_utterance_of_padding_alone_gives_numbers(dtype):
    tensors = arguments(dtype=dtype)
    context = gated_attention(*tensors, torch.tensor([[True] * 5, [False] * 5]), 0.0)
    context.float().square().sum().backward()
    assert all(tensor.isfinite().all() for tensor in (context, *(t.grad for t in tensors)))


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_is_a_sound_operator(dropout):
    """Shapes without data, autograd and tracing agree with what is computed."""
    seed = torch.tensor(3) if dropout else None
    torch.library.opcheck(blockwise_attention, (*arguments(dtype=torch.float32), padding(2, 5), seed, dropout))


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("frames", [1, 7, 33])
def test_the_fused_kernels_are_given_the_same_question(frames, pad):
    """On the CPU `scaled_dot_product_attention` computes by definition: outputs and gradients are those of blocks."""
    padded = padding(3, frames) if pad else None
    weights = torch.randn(3, frames, 2, 8, dtype=torch.float64)
    found = []
    for attend in (fused_attention, lambda *given: gated_attention(*given)):
        tensors = arguments(3, frames, 2, 8)
        (attend(*tensors, padded, 0.0) * weights).sum().backward()
        found.append([tensor.grad for tensor in tensors])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("frames", [1, 33, 149, 499])  # rows of the bias that are no multiple of the kernel's alignment
@pytest.mark.parametrize("pad", [False, True])
def test_on_the_gpu_it_equals_the_cpu(dtype, frames, pad):
    padded = padding(3, frames) if pad else None
    exact = arguments(3, frames, 2, 64)
    given = [t.detach().to("cuda", dtype if i < 3 else torch.float32).requires_grad_() for i, t in enumerate(exact)]
    weights = torch.randn(3, frames, 2, 64, dtype=torch.float64)
    (gated_attention(*exact, padded, 0.0) * weights).sum().backward()
    context = gated_attention(*given, None if padded is None else padded.cuda(), 0.0)
    (context.double() * weights.cuda()).sum().backward()
    tolerance = 2e-3 if dtype == torch.float32 else 5e-2
    for a, b in zip(exact, given, strict=True):
        assert (a.grad - b.grad.double().cpu()).norm() <= tolerance * a.grad.norm().clamp(min=1e-3)


@pytest.mark.gpu
def test_on_the_gpu_the_same_weights_are_dropped_backward():
    tensors = [tensor.detach().cuda().requires_grad_() for tensor in arguments(1, 64, 1, 64, dtype=torch.float32)]
    with torch.no_grad():
        tensors[2].copy_(torch.eye(64)[None, :, None])
    weights = gated_attention(*tensors, None, 0.25)  # rows are queries
    assert (weights != 0).float().mean().item() == pytest.approx(0.75, abs=0.05)
    weights.sum().backward()
    torch.testing.assert_close(tensors[2].grad[0, :, 0, 0], weights[0, :, 0].sum(0), rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
def test_on_the_gpu_padding_alone_gives_numbers():
    tensors = arguments(2, 40, 2, 64, dtype=torch.bfloat16, device="cuda")
    padded = torch.tensor([[True], [False]], device="cuda").expand(2, 40)
    context = gated_attention(*tensors, padded, 0.0)
    context.float().square().sum().backward()
    assert all(tensor.isfinite().all() for tensor in (context, *(t.grad for t in tensors)))
