"""The head of masked prediction: cosines by the definition, exact under autocast, and it learns."""

import numpy as np
import torch

from sertool.core.models.config import MaskedConfig
from sertool.core.models.masked_head import MaskedHead


def head(clusters: int = 7, projection: int = 5) -> MaskedHead:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MaskedHead(12, MaskedConfig(clusters=clusters, projection=projection))


def states(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_logits_are_cosines_over_the_temperature():
    ours, x = head(), states(2, 3, 12)
    logits = ours(x).detach().numpy()
    assert logits.shape == (2, 3, 7) and logits.dtype == np.float32
    weight, bias = (tensor.detach().numpy().astype(np.float64) for tensor in ours.project.parameters())
    codewords = ours.codewords.detach().numpy().astype(np.float64)
    for row, own in zip(logits.reshape(-1, 7), x.reshape(-1, 12).numpy().astype(np.float64), strict=True):
        projected = weight @ own + bias
        cosines = codewords @ projected / np.linalg.norm(codewords, axis=1) / np.linalg.norm(projected)
        np.testing.assert_allclose(row, cosines / 0.1, atol=1e-4)


def test_frames_picked_out_before_have_the_same_logits():
    ours, x = head(), states(2, 3, 12)
    chosen = torch.tensor([[True, False, True], [False, True, True]])
    torch.testing.assert_close(ours(x[chosen]), ours(x)[chosen])


def test_cosines_are_exact_under_autocast():
    # The projection, an identity here, and its input are whole in bfloat16, so that only the cosines could be off.
    ours, x = head(clusters=50, projection=12), states(1, 20, 12).bfloat16().float()
    ours.project.weight.data.copy_(torch.eye(12))
    ours.project.bias.data.zero_()
    exact = ours(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = ours(x)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, atol=1e-5, rtol=0)


def test_frames_of_zeros_have_finite_logits_and_gradients():
    ours = head()
    ours.project.bias.data.zero_()
    x = torch.zeros(1, 2, 12, requires_grad=True)
    logits = ours(x)
    logits.sum().backward()
    assert not logits.any() and torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in (ours.codewords, *ours.project.parameters()))


def test_the_hidden_vector_starts_uniform_in_the_unit_interval_and_is_a_weight():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = MaskedHead(4096, MaskedConfig(clusters=2, projection=2))
    assert {name for name, _ in ours.named_parameters()} >= {"hidden_vector", "codewords"}
    vector = ours.hidden_vector.detach()
    assert 0 <= vector.min() < 0.01 and 0.99 < vector.max() < 1 and abs(vector.mean() - 0.5) < 0.02
    with torch.device("meta"):
        assert MaskedHead(8, MaskedConfig()).hidden_vector.is_meta


def test_it_learns_which_cluster_a_frame_belongs_to():
    ours, x = head(), states(64, 12)
    labels = (x @ states(12, 7)).argmax(1)
    optimizer = torch.optim.Adam(ours.parameters(), 0.03)
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(ours(x), labels).backward()
        optimizer.step()
    assert (ours(x).argmax(1) == labels).float().mean() > 0.9
