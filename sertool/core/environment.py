"""The installation: what is there, what belongs together, which device will be used, and what to do about the rest."""

import ctypes
import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sertool.core.engine import default_workers
from sertool.core.errors import InputError

if TYPE_CHECKING:
    import torch

REINSTALL = 'pip install "torch==2.11.*" "torchaudio==2.11.*"'
"""The remedy for a torch and a torchaudio that do not belong together."""

OPTIONAL = ("peft", "tensorboard", "pyroomacoustics", "onnxruntime")
"""Packages some commands use where they are installed; their absence is no fault."""


@dataclass(frozen=True)
class Check:
    """One thing looked at: its name, what was found, whether that will do, and the remedy where it won't."""

    name: str
    found: str
    ok: bool = True
    remedy: str | None = None


KEPT_BLOCK = 32 * 2**20
"""The largest block of memory, in bytes, that is kept; the GNU C library takes no larger limit."""


def keep_freed_memory() -> None:
    """Let this process keep the memory it frees, for its next batch; with another C library than GNU's, do nothing.

    The GNU library hands blocks of some size back to the system at once, so that a training step on a processor gets
    the same memory again page by page: an eighth of its time, with models of the compact encoder's size. It keeps no
    more than was in use at the most.
    """
    if platform.libc_ver()[0] == "glibc":
        c_library = ctypes.CDLL(None)
        c_library.mallopt(-3, KEPT_BLOCK)  # M_MMAP_THRESHOLD
        c_library.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def choose_device(device: str = "auto") -> "torch.device":
    """Return the device to compute on: `auto` is CUDA where it works, else Apple's MPS, else the CPU.

    Args:
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        InputError: the name is another one, or the device is not there; the message says why.
    """
    import torch

    if device == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(name)
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise InputError(
            f"device '{device}' is not known; expected auto, cpu, cuda, cuda:N or mps: choose one of these"
        )
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise InputError(f"device '{device}' is not there: {_cuda_absence()}: use --device cpu")
        index = int(device.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise InputError(
                f"device '{device}' is not there: this machine has {torch.cuda.device_count()}, counted from 0"
            )
    if device == "mps" and not torch.backends.mps.is_available():
        raise InputError(
            "device 'mps' is not there: it needs an Apple computer and its build of torch: use --device cpu"
        )
    return torch.device(device)


def explain_no_cuda(*, built_for: str | None, visible: str | None, has_driver: bool) -> str:
    """Return why CUDA cannot be used and what to do, as one clause.

    Args:
        built_for: CUDA version torch was built for; None for a build for the CPU alone.
        visible: value of CUDA_VISIBLE_DEVICES; None where it is not set.
        has_driver: whether an NVIDIA driver was found.
    """
    if built_for is None:
        return "this torch is built for the CPU only; for a GPU install the CUDA build its website names"
    if visible is not None and visible.strip() in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides every GPU; unset it"
    if not has_driver:
        return "no NVIDIA driver was found; install one if the machine has a GPU"
    return f"the NVIDIA driver shows no GPU that works with CUDA {built_for}; update the driver"


def installed_versions(packages: list[str] | None = None) -> dict[str, str | None]:
    """Return the version of each package, None where it is not installed (default: sertool and all it may use)."""
    versions: dict[str, str | None] = {}
    for package in packages or ["sertool", *requirements(), *OPTIONAL]:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def requirements() -> dict[str, str]:
    """Return what sertool needs as its own metadata states it: package name to version bound, such as `>=2.0`."""
    lines = importlib.metadata.requires("sertool") or []
    needed = {}
    for line in lines:
        requirement, _, condition = line.partition(";")
        if "extra ==" not in condition:
            name, bound = re.fullmatch(r"\s*([\w.-]+)\s*(.*?)\s*", requirement).groups()
            needed[name] = bound
    return needed


def check_packages(
    versions: Mapping[str, str | None], needed: Mapping[str, str], *, has_compiler: bool = True
) -> list[Check]:
    """Judge installed versions against what is needed; optional packages are listed where they are installed.

    Args:
        versions: package to version, None where it is missing.
        needed: package to version bound (`>=2.0`, `==2.11.*`, or nothing).
        has_compiler: whether a C compiler was found: pesq is built when it is installed.
    """
    checks = []
    for package, version in versions.items():
        bound = needed.get(package, "")
        if version is None and package in needed:
            remedy = f'pip install "{package}{bound}"'
            if package == "pesq" and not has_compiler:
                remedy = f"install a C compiler first (Debian, Ubuntu: apt install build-essential), then {remedy}"
            checks.append(Check(package, "missing", ok=False, remedy=remedy))
        elif version is not None and not satisfies(version, bound):
            remedy = REINSTALL if package in ("torch", "torchaudio") else f'pip install "{package}{bound}"'
            checks.append(Check(package, f"{version}, expected {bound}", ok=False, remedy=remedy))
        elif version is not None:
            checks.append(Check(package, version))
    return checks


def satisfies(version: str, bound: str) -> bool:
    """Whether a version meets a bound of the kinds `>=1.2`, `==1.2.*` and `==1.2`; any other bound is not judged."""
    match = re.fullmatch(r"(>=|==)\s*(\d+(?:\.\d+)*)(\.\*)?", bound)
    if match is None:
        return True
    have, want = _numbers(version), _numbers(match[2])
    if match[1] == ">=":
        return have >= want
    return have[: len(want)] == want


def check_pair(torch_version: str | None, torchaudio_version: str | None, import_error: str | None = None) -> Check:
    """Judge whether torch and torchaudio belong together: the same major and minor version, and both import.

    Args:
        torch_version: None where it is missing.
        torchaudio_version: None where it is missing.
        import_error: what importing either raised.
    """
    name = "torch with torchaudio"
    if torch_version is None or torchaudio_version is None:
        missing = "torch" if torch_version is None else "torchaudio"
        return Check(name, f"{missing} is missing", ok=False, remedy=REINSTALL)
    found = f"{torch_version} with {torchaudio_version}"
    if _numbers(torch_version)[:2] != _numbers(torchaudio_version)[:2]:
        return Check(name, f"{found}: they do not belong together", ok=False, remedy=REINSTALL)
    if import_error is not None:
        return Check(name, f"{found}: importing them fails ({import_error})", ok=False, remedy=REINSTALL)
    return Check(name, f"{found}: they belong together")


def examine() -> list[Check]:
    """Look at the whole installation. Nothing found here raises: a check that fails says how."""
    versions = installed_versions()
    has_compiler = any(shutil.which(name) for name in ("cc", "gcc", "clang", "cl"))
    checks = [guard("python", check_python)]
    checks += check_packages(versions, requirements(), has_compiler=has_compiler)
    checks.append(check_pair(versions["torch"], versions["torchaudio"], _import_error("torch", "torchaudio")))
    checks.append(guard("libsndfile", check_sndfile))
    checks.append(guard("device", check_device))
    checks.append(guard("cores", check_cores))
    checks.append(guard("memory", check_memory))
    checks.append(guard("temporary folder", check_temporary_folder))
    return checks


def guard(name: str, check: Callable[[], Check]) -> Check:
    """Run a check, and return what it raises, if anything, as what it found: the doctor itself must not fall ill."""
    try:
        return check()
    except Exception as error:
        return Check(
            name, f"{type(error).__name__}: {error}", ok=False, remedy="mend what is named here, then run it again"
        )


def check_python() -> Check:
    """Judge the Python interpreter: 3.11 or later."""
    version = platform.python_version()
    ok = sys.version_info >= (3, 11)
    return Check("python", f"{version} on {platform.platform()}", ok, None if ok else "install Python 3.11 or later")


def check_sndfile() -> Check:
    """Name the library that reads and writes audio files."""
    import soundfile

    return Check("libsndfile", soundfile.__libsndfile_version__)


def check_device() -> Check:
    """Name the device `auto` stands for, and why. A machine without a GPU is well: the CPU will do."""
    import torch

    device = choose_device("auto")
    if device.type == "cuda":
        return Check("device", f"cuda: {torch.cuda.get_device_name()} ({torch.cuda.device_count()} in all)")
    if device.type == "mps":
        return Check("device", "mps: Apple's GPU")
    return Check("device", f"cpu: {_cuda_absence()}")


def check_cores() -> Check:
    """Name how many cores this process may use."""
    return Check("cores", str(default_workers()))


def check_memory() -> Check:
    """Name the memory this process may use, in GiB; training needs about 2."""
    if not hasattr(os, "sysconf"):
        return Check("memory", "unknown on this system")
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    group = Path("/sys/fs/cgroup/memory.max")
    if group.is_file() and (text := group.read_text().strip()).isdigit():
        limits.append(int(text))
    gib = min(limits) / 2**30
    return Check(
        "memory", f"{gib:.1f} GiB", gib >= 2, None if gib >= 2 else "use --device cpu and short audio, or more memory"
    )


def check_temporary_folder() -> Check:
    """Write a byte where temporary files go: audio on stdin passes through there."""
    folder = tempfile.gettempdir()
    with tempfile.TemporaryFile() as file:
        file.write(b"\0")
    return Check("temporary folder", f"{folder}, {shutil.disk_usage(folder).free / 2**30:.1f} GiB free")


def _import_error(*packages: str) -> str | None:
    """Return what importing the packages raises, in a line; None when all is well."""
    for package in packages:
        try:
            importlib.import_module(package)
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return None


def _cuda_absence() -> str:
    import torch

    has_driver = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return explain_no_cuda(built_for=torch.version.cuda, visible=visible, has_driver=has_driver)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: 2.11.0+cpu is (2, 11, 0)."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
