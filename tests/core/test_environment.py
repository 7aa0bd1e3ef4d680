"""The installation, judged from versions that are handed in."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from sertool.core import environment
from sertool.core.environment import (
    REINSTALL,
    Check,
    check_packages,
    check_pair,
    choose_device,
    examine,
    explain_no_cuda,
    guard,
    installed_versions,
    requirements,
    satisfies,
)
from sertool.core.errors import InputError


@pytest.mark.parametrize(
    ("torch_version", "torchaudio_version"),
    [("2.11.0", "2.12.0"), ("2.12.0+cu130", "2.11.0+cu130"), ("2.11.0", None), (None, "2.11.0"), ("3.11.0", "2.11.0")],
)
def test_a_torch_and_a_torchaudio_that_do_not_belong_together(torch_version, torchaudio_version):
    check = check_pair(torch_version, torchaudio_version)
    assert not check.ok and check.remedy == REINSTALL


def test_a_pair_that_belongs_together():
    assert check_pair("2.11.0+cpu", "2.11.1+cpu").ok


def test_a_pair_that_does_not_import():
    check = check_pair("2.11.0", "2.11.0", "OSError: undefined symbol")
    assert not check.ok and "undefined symbol" in check.found and check.remedy == REINSTALL


def test_missing_and_old_packages_come_with_their_remedy():
    needed = {"numpy": ">=2.0", "pesq": ">=0.0.4", "torch": "==2.11.*", "scipy": ">=1.14"}
    versions = {"numpy": "1.26.4", "pesq": None, "torch": "2.12.0", "scipy": "1.14.0", "transformers": None}
    checks = {check.name: check for check in check_packages(versions, needed)}
    assert {name for name, check in checks.items() if not check.ok} == {"numpy", "pesq", "torch"}
    assert checks["numpy"].remedy == 'pip install "numpy>=2.0"'
    assert checks["torch"].remedy == REINSTALL
    assert "transformers" not in checks  # optional and absent: nothing to say


def test_pesq_without_a_compiler_says_so():
    (check,) = check_packages({"pesq": None}, {"pesq": ">=0.0.4"}, has_compiler=False)
    assert "C compiler" in check.remedy
    (check,) = check_packages({"pesq": None}, {"pesq": ">=0.0.4"}, has_compiler=True)
    assert "C compiler" not in check.remedy


def test_bounds_are_judged_as_packaging_judges_them():
    specifiers = pytest.importorskip("packaging.specifiers")
    for bound in (">=2.0", "==2.11.*", ">=0.0.4", "==1.2"):
        for version in ("1.2", "1.26.4", "2.0", "2.0.1", "2.11.0", "2.11.5+cpu", "2.12.0", "10.0", "0.0.4", "0.0.10"):
            expected = specifiers.SpecifierSet(bound).contains(version)
            assert satisfies(version, bound) == expected, (version, bound)


def test_this_installation_is_known_and_whole():
    needed = requirements()
    assert needed["torch"] == "==2.11.*" and "pytest" not in needed
    assert all(check.ok for check in check_packages(installed_versions(), needed))
    assert installed_versions(["surely-not-installed"]) == {"surely-not-installed": None}


def test_a_broken_check_is_a_finding():
    def broken() -> Check:
        raise RuntimeError("CUDA error")

    check = guard("device", broken)
    assert (check.name, check.found, check.ok) == ("device", "RuntimeError: CUDA error", False)
    assert check.remedy


def test_examine_survives_whatever_breaks(monkeypatch):
    def broken(*_args, **_kwargs):
        raise OSError("libtorch_cpu.so: cannot open shared object file")

    monkeypatch.setattr(environment, "choose_device", broken)
    monkeypatch.setattr(environment.importlib, "import_module", broken)
    found = {check.name: check for check in examine()}
    assert not found["device"].ok and not found["torch with torchaudio"].ok
    assert found["python"].ok


@pytest.mark.parametrize(
    ("built_for", "visible", "has_driver", "words"),
    [
        (None, None, True, "built for the CPU"),
        ("12.8", "", True, "CUDA_VISIBLE_DEVICES"),
        ("12.8", "-1", True, "CUDA_VISIBLE_DEVICES"),
        ("12.8", None, False, "no NVIDIA driver"),
        ("12.8", "0", True, "CUDA 12.8"),
    ],
)
def test_why_there_is_no_cuda(built_for, visible, has_driver, words):
    assert words in explain_no_cuda(built_for=built_for, visible=visible, has_driver=has_driver)


def test_devices_that_are_there():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device().type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cpu:1", "CUDA"])
def test_unknown_devices(name):
    with pytest.raises(InputError, match="expected auto, cpu, cuda"):
        choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_an_absent_device_says_why(name):
    with pytest.raises(InputError, match=f"'{name}' is not there: .*--device cpu"):
        choose_device(name)


@pytest.mark.gpu
def test_cuda_is_chosen_and_counted():
    assert choose_device("auto").type == "cuda"
    with pytest.raises(InputError, match="counted from 0"):
        choose_device("cuda:99")


def test_memory_and_temporary_folder_are_looked_at(monkeypatch, tmp_path):
    monkeypatch.setattr(environment.tempfile, "tempdir", str(tmp_path / "absent"))
    assert not guard("temporary folder", environment.check_temporary_folder).ok
    if hasattr(os, "sysconf"):
        assert environment.check_memory().found.endswith("GiB")


FAULTS = """
import resource, sys
import numpy as np
from sertool.core.environment import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
np.ones(2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**20)  # 8 MiB, freed at once
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than GNU's")
def test_freed_memory_is_kept():
    faults = {
        how: int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True, text=True).stdout)
        for how in ("kept", "returned")
    }
    assert faults["kept"] < faults["returned"] / 4, faults
