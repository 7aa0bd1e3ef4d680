"""The command line as a whole: light until a command works, help for strangers, one line for every error."""

import shlex
import subprocess
import sys

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from sertool.cli import console
from sertool.cli.main import app

COMMANDS = (
    *("corpus", "mix-noise", "pretrain", "train", "evaluate", "enhance", "predict", "cluster", "doctor", "demo"),
    "score-curriculum",
)

HEAVY = (
    "torch",
    "torchaudio",
    "transformers",
    "pandas",
    "sklearn",
    "scipy",
    "accelerate",
    "pyarrow",
    "numpy",
    "matplotlib",
)

# Calls every command line given, in one interpreter, and prints which heavy packages that brought in.
LOOK = """
import sys
from typer.testing import CliRunner
from sertool.cli.main import app
for line in {lines!r}:
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == {code}, (line, result.exit_code, result.output)
print(*sorted(set({heavy!r}) & set(sys.modules)))
"""


def heavy_after(lines: list[str], code: int) -> list[str]:
    script = LOOK.format(lines=lines, code=code, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_help_imports_nothing_heavy():
    assert heavy_after(["", "--help", "--version", *(f"{name} --help" for name in COMMANDS)], code=0) == []


def test_usage_errors_import_nothing_heavy():
    lines = ["nonsense", "--nonsense", "predict --nonsense", "enhance a.wav --dry 2", "enhance --workers none a.wav"]
    assert heavy_after(lines, code=2) == []


def test_importing_sertool_imports_nothing_heavy():
    script = f"import sertool, sys; print(*set({HEAVY!r}) & set(sys.modules)); assert sertool.__version__"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_public_name_resolves():
    import sertool

    assert set(sertool.__all__) == {"__version__", "enhance", "evaluate", "load", "mix", "predict"}
    assert all(getattr(sertool, name) for name in sertool.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = sertool.nonsense


def test_help_names_every_command(sertool):
    for result in (sertool(), sertool("--help"), sertool("-h")):
        assert result.exit_code == 0
        assert all(name in result.stdout for name in COMMANDS)
        assert result.stderr == ""


def examples() -> list[str]:
    """Every example the help shows: lines that begin with `sertool COMMAND`, in a help as wide as it needs to be."""
    lines = []
    for name in COMMANDS:
        shown = CliRunner(env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"}).invoke(app, [name, "--help"]).stdout
        found = [line.strip().removeprefix("Example: ") for line in shown.splitlines()]
        found = [part.strip() for line in found for part in line.split("|") if f"sertool {name}" in line]
        lines += [line for line in found if line.startswith("sertool ")] or [f"{name} shows no example"]
    return lines


@pytest.mark.parametrize("line", examples())
def test_the_examples_in_the_help_parse(line):
    program, name, *arguments = shlex.split(line.partition(" > ")[0])
    assert program == "sertool"
    command = get_command(app).commands[name]
    if name == "corpus":
        command, arguments = command.commands[arguments[0]], arguments[1:]
    assert command.make_context(name, arguments).params


def test_version(sertool):
    from importlib.metadata import version

    assert sertool("--version").stdout == f"sertool {version('sertool')}\n"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("nonsense", "nonsense"),
        ("predct a.wav", "predict"),
        ("--nonsense", "--nonsense"),
        ("enhance a --dry 2", "--dry"),
    ],
)
def test_usage_errors_are_one_line(sertool, line, word):
    result = sertool(*line.split())
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert word in result.stderr and "--help" in result.stderr


def app_that_raises(error: BaseException) -> typer.Typer:
    app = typer.Typer(cls=console.Group)

    @app.callback()
    def main() -> None:
        """Hold one command."""

    @app.command()
    def work() -> None:
        """Raise."""
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (console.SertoolError("this; that: do so"), 2, "this; that: do so"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device", "/far/away.wav"), 2, "/far/away.wav: No space left on device"),
        (PermissionError(13, "Permission denied", "/far"), 2, "/far: Permission denied"),
        (MemoryError(), 2, "memory"),
        (ImportError("libcudart.so.13: cannot open"), 2, "run `sertool doctor`"),
        (ZeroDivisionError("two\nlines"), 2, "ZeroDivisionError: two lines"),
    ],
)
def test_every_error_is_one_line(error, code, words):
    result = CliRunner().invoke(app_that_raises(error), ["work"])
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize("line", [["--debug", "work"], ["work", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(line):
    result = CliRunner().invoke(app_that_raises(console.SertoolError("this")), line)
    assert result.exit_code == 2
    assert "Traceback" in result.stderr and result.stderr.endswith("error: this\n")


def test_debug_after_two_dashes_is_an_argument(sertool):
    assert "--debug: no such file" in sertool("predict", "--", "--debug").stderr


def test_a_reader_that_leaves_is_no_error():
    result = CliRunner().invoke(app_that_raises(BrokenPipeError()), ["work"])
    assert (result.exit_code, result.output) == (console.PIPE_CLOSED, "")


def test_a_reader_that_leaves_a_real_pipe_is_no_error():
    script = "from sertool.cli import console\nimport typer\napp = typer.Typer(cls=console.Group)\n"
    script += (
        "@app.callback()\ndef main(): pass\n@app.command()\ndef work():\n  while True: console.result('x' * 1000)\n"
    )
    script += "console.run(app)"
    command = [sys.executable, "-c", script, "work"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == console.PIPE_CLOSED
