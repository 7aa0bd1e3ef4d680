"""Batch normalisation in two processes against torch's own in one, which has all rows."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sertool.core.clustering.batch_norm import BatchNorm2d

SCRIPT = Path(__file__).with_name("normalise_in_processes.py")


def _load_script():
    specification = importlib.util.spec_from_file_location("normalise_in_processes", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


script = _load_script()


@pytest.fixture(scope="module")
def heard() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    maps = (
        draw(8, 3, 4, 5) * torch.tensor([1.0, 3.0, 0.2])[:, None, None] + torch.tensor([0.0, 2.0, -1.0])[:, None, None]
    )
    return {
        "maps": maps,
        "far": maps + 1000.0,
        "weights": draw(8, 3, 4, 5),
        "scale": draw(3),
        "shift": draw(3),
        "deep": draw(5, 3, 16, 24).double(),
        "of net": draw(5, 3, 2, 3).double(),
    }


@pytest.fixture(scope="module")
def processes(heard, tmp_path_factory) -> list[dict[str, torch.Tensor]]:
    """What each of two processes made of its rows."""
    folder = tmp_path_factory.mktemp("processes")
    save_file(heard, folder / "heard.safetensors")
    ran = subprocess.run(
        [sys.executable, SCRIPT, folder],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    return [load_file(folder / f"{rank}.safetensors") for rank in range(script.PROCESSES)]


def alone(
    heard: dict[str, torch.Tensor], maps: torch.Tensor
) -> tuple[torch.nn.BatchNorm2d, torch.Tensor, torch.Tensor]:
    """Return torch's layer after two steps on all rows, its outputs, and what was heard, with its gradient."""
    layer = torch.nn.BatchNorm2d(3)
    script.load(layer, heard)
    maps = maps.clone().requires_grad_()
    for _ in range(2):
        outputs = layer(maps)
    (outputs * heard["weights"]).sum().backward()
    return layer, outputs.detach(), maps


@pytest.mark.parametrize("name", ["unequal", "none"])
def test_two_processes_are_one_that_has_all_rows(heard, processes, name):
    layer, outputs, maps = alone(heard, heard["maps"])

    def rows(key: str) -> torch.Tensor:
        return torch.cat([one[f"{name}.{key}"] for one in processes])

    torch.testing.assert_close(rows("outputs"), outputs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(rows("maps.grad"), maps.grad, atol=1e-5, rtol=1e-5)
    for key, parameter in layer.named_parameters():
        summed = sum(one[f"{name}.{key}.grad"] for one in processes)
        torch.testing.assert_close(summed, parameter.grad, atol=1e-5, rtol=1e-5)
    for key, buffer in layer.named_buffers():
        for one in processes:
            torch.testing.assert_close(one[f"{name}.{key}"], buffer, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["unequal", "none", "far", "half"])
def test_both_processes_remember_the_same(processes, name):
    for key in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(*(one[f"{name}.{key}"] for one in processes))


def test_far_from_zero_the_variance_keeps_its_digits(heard, processes):
    _, outputs, _ = alone(heard, heard["far"].double().float())
    expected = torch.nn.functional.batch_norm(
        heard["far"].double(), None, None, heard["scale"].double(), heard["shift"].double(), training=True
    )
    found = torch.cat([one["far.outputs"] for one in processes]).double()
    error = (found - expected).abs().max()
    assert error < 2e-3 and error < 4 * (outputs - expected).abs().max() + 1e-4


def test_bf16_comes_back_with_statistics_of_single_precision(heard, processes):
    layer, outputs, _ = alone(heard, heard["maps"].bfloat16().float())
    found = torch.cat([one["half.outputs"] for one in processes])
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), outputs, atol=0.03, rtol=0.01)
    assert processes[0]["half.running_var"].dtype == torch.float32
    torch.testing.assert_close(processes[0]["half.running_var"], layer.running_var, atol=1e-5, rtol=1e-5)


def test_in_evaluation_a_process_needs_no_other(heard, processes):
    layer, _, _ = alone(heard, heard["maps"])
    expected = layer.eval()(heard["maps"][:3])
    torch.testing.assert_close(processes[0]["unequal.evaluation"], expected, atol=1e-5, rtol=1e-5)


def test_layers_learn_in_two_processes_what_they_learn_in_one(heard, processes):
    net = script.make_net(torch.nn.BatchNorm2d)
    (net(heard["deep"]) * heard["of net"]).sum().backward()
    for key, parameter in net.named_parameters():
        summed = sum(one[f"net.{key}.grad"] for one in processes)
        torch.testing.assert_close(summed, parameter.grad, atol=1e-10, rtol=1e-7)


@pytest.mark.parametrize("training", [False, True])
def test_in_one_process_it_is_torchs(heard, training):
    ours, theirs = BatchNorm2d(3).train(training), torch.nn.BatchNorm2d(3).train(training)
    for _ in range(3):
        assert torch.equal(ours(heard["maps"]), theirs(heard["maps"]))
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())
