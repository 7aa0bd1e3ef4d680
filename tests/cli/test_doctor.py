"""`sertool doctor`: one line a check, exit code 1 when something is wrong."""

import json

from sertool.core import environment
from sertool.core.environment import Check


def test_a_sound_installation(sertool):
    result = sertool("doctor", "--json")
    checks = {record["name"]: record for record in map(json.loads, result.stdout.splitlines())}
    wrong = [check for check in checks.values() if not check["ok"]]
    assert (result.exit_code, wrong) == (0, [])
    assert {"python", "sertool", "torch", "torchaudio", "pesq", "libsndfile", "device", "tiny model"} <= checks.keys()


def test_what_is_wrong_comes_with_its_remedy(sertool, monkeypatch):
    broken = Check("torch with torchaudio", "2.11.0 with 2.12.0", ok=False, remedy=environment.REINSTALL)
    monkeypatch.setattr(environment, "examine", lambda: [Check("python", "3.11.7"), broken])
    result = sertool("doctor")
    assert result.exit_code == 1
    assert environment.REINSTALL in result.stdout and "Traceback" not in result.output


def test_a_model_that_cannot_run_is_found_and_not_raised(sertool, monkeypatch):
    from sertool.core.models import inference

    def fail(device="auto"):
        raise ImportError("libcudart.so.13: no such file")

    monkeypatch.setattr(inference, "check_model", fail)
    result = sertool("doctor")
    assert result.exit_code == 1
    assert "ImportError: libcudart.so.13" in result.stdout
