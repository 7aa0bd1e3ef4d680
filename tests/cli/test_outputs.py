"""What a command is to write is refused before a file is lost by it."""

from pathlib import Path

import pytest

from sertool.cli.inputs import Input
from sertool.cli.outputs import refuse_losses
from sertool.core.errors import InputError

A, B = (Input(Path(f"{name}/a.wav"), f"{name}/a.wav") for name in "ab")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("there.csv").touch()


@pytest.mark.parametrize(
    ("outputs", "overwrite", "words"),
    [
        (["a.csv", "./a.csv"], False, r"a/a\.wav and b/a\.wav would both be written to a\.csv"),
        (["a.csv", "a.csv"], True, "would both be written"),
        (["b/a.wav"], False, r"b/a\.wav: is an input itself"),
        (["a.csv", "b/../b/a.wav"], True, "is an input itself"),
        (["there.csv"], False, r"there\.csv: exists already: .* or say --overwrite$"),
    ],
)
def test_what_would_be_lost_is_named(outputs, overwrite, words):
    with pytest.raises(InputError, match=words):
        refuse_losses([Path(output) for output in outputs], overwrite=overwrite, inputs=[A, B])


def test_nothing_is_lost():
    refuse_losses([], overwrite=False)
    refuse_losses([Path("a.csv"), Path("b.csv")], overwrite=False, inputs=[A, B])
    refuse_losses([Path("there.csv")], overwrite=True, inputs=[A, B])
