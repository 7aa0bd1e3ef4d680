"""What a command may say and where: results on stdout, the rest on stderr, an error in one line."""

import contextlib
import json
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from sertool.core.errors import SertoolError

if TYPE_CHECKING:
    from rich.progress import Progress

DONE, SOME_FAILED, WRONG_INPUT, LIMIT_MISSED = 0, 1, 2, 3
"""Exit codes: done; finished, some inputs failed; the call or its inputs are wrong; finished, a limit was missed."""

INTERRUPTED, PIPE_CLOSED = 130, 141
"""Exit codes a shell gives to a program ended by SIGINT or SIGPIPE."""

# Control characters, line and paragraph separators, and marks that override the direction of reading.
_STEERING = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

_LONGEST = 4000  # characters of a message; longer than any path or list of ours

_UNBOUNDED = 100_000  # columns; wider than any table, narrow enough for rich to pad

# Typer once built on Click and now carries its own copy of it: this is the base of usage errors in either.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the one handler in `Group.main` end the program (rich would end it here, with exit code 1)."""
        raise BrokenPipeError


out = _Console(highlight=False)
err = _Console(stderr=True, highlight=False)

_remedies = ["run the same command again to go on"]
"""What to do after Ctrl-C; the last one holds."""

_bars: list["Progress"] = []
"""The bar on the terminal now, if any."""


def result(line: str | os.PathLike) -> None:
    """Write one line of results to stdout exactly as it is: never wrapped, cut or coloured.

    Bytes, because a path may hold some that are not text and must still reach the next program unchanged.
    """
    if _bars and sys.stdout.isatty():
        # Both on one terminal: the bar makes room and is drawn again below the line.
        _bars[-1].console.print(Text(_printable(os.fspath(line))), soft_wrap=True)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(line) + b"\n")
    sys.stdout.buffer.flush()


def json_line(record: dict[str, Any]) -> None:
    """Write one record to stdout as a line of JSON; a value that is not a finite number must be null already."""
    result(json.dumps(record, ensure_ascii=False, allow_nan=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table to stdout for people: columns of numbers to the right, None as an en dash.

    No cell is cut: it is folded on a terminal; elsewhere the table is as wide as its content.
    """
    rows = [[None if cell is None else _printable(str(cell)) for cell in row] for row in rows]
    grid = Table(title=title, box=None, pad_edge=False, title_justify="left", header_style="bold")
    for index, name in enumerate(columns):
        numeric = all(row[index] is None or _is_number(row[index]) for row in rows)
        grid.add_column(Text(_printable(name)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text("–" if cell is None else cell) for cell in row))
    # Rich takes a stdout that is no terminal for one of 80 columns.
    console = out if out.is_terminal else _Console(highlight=False, width=_UNBOUNDED)
    console.print(grid)


def note(message: str) -> None:
    """Write one line to stderr."""
    err.print(Text(_one_line(message)), soft_wrap=True)


def warn(message: str) -> None:
    """Write one line to stderr that begins with `warning:`."""
    err.print(Text.assemble(("warning:", "bold yellow"), " ", _one_line(message)), soft_wrap=True)


def fail(message: str, code: int = WRONG_INPUT) -> NoReturn:
    """Write one line to stderr that begins with `error:`, and end the program with an exit code."""
    _error(message)
    raise typer.Exit(code)


def list_failures(messages: Sequence[str], *, total: int) -> None:
    """List on stderr the inputs that failed, then how many; the exit code to end with is `SOME_FAILED`."""
    for message in messages:
        err.print(Text.assemble(("failed:", "bold red"), " ", _one_line(message)), soft_wrap=True)
    note(f"{len(messages)} of {total} inputs failed, the rest are done")


def if_interrupted(remedy: str) -> None:
    """Say what Ctrl-C leaves and what to do then, where the same command would not simply go on."""
    _remedies.append(remedy)


@contextlib.contextmanager
def progress(total: int | None, title: str) -> Iterator[Callable[..., None]]:
    """Show a bar with the time left on stderr, or nothing where stderr is not a terminal.

    Args:
        total: steps to come; None where nobody knows.
        title: what is being done, a word or two.

    Yields:
        `advance(steps=1, note="")`: count steps, and show a word or two beside the bar.
    """
    if not sys.stderr.isatty():
        yield lambda steps=1, note="": None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(Progress(*columns, console=err, redirect_stdout=False))
        task = bar.add_task(title, total=total, note="")
        _bars.append(bar)
        stack.callback(_bars.remove, bar)

        def advance(steps: int = 1, note: str = "") -> None:
            bar.update(task, advance=steps, **({"note": note} if note else {}))

        yield advance


class _Ended(Exception):
    """Carries a KeyboardInterrupt or BrokenPipeError past Typer, which would end the program without a word."""


class Group(TyperGroup):
    """A group of commands that ends every error as one line and an exit code; `--debug` adds the traceback."""

    def invoke(self, ctx: typer.Context) -> Any:
        """Run the command that was parsed."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, BrokenPipeError) as error:
            raise _Ended from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line `args` (default: the program's own) and exit; see the exit codes above."""
        args, debug = _take_debug(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **extra)
        del _remedies[1:]  # of a command run before in this process
        with _note_interrupts() as interrupts:
            try:
                code = super().main(args, prog_name, standalone_mode=False, **extra)
                sys.stdout.flush()
                if interrupts and code == INTERRUPTED:
                    raise KeyboardInterrupt  # which Typer has answered without a word
            except BaseException as error:
                if debug and isinstance(error, Exception):
                    traceback.print_exc()
                # In the middle of an import, Ctrl-C comes out as errors of every kind.
                code = _end(KeyboardInterrupt() if interrupts else error, prog_name or "sertool")
        sys.exit(code if isinstance(code, int) else DONE)


@contextlib.contextmanager
def _note_interrupts() -> Iterator[list[int]]:
    """Note every Ctrl-C, which raises KeyboardInterrupt as ever, in a list."""
    noted: list[int] = []

    def note_and_raise(number: int, frame: object) -> None:
        noted.append(number)
        raise KeyboardInterrupt

    # Elsewhere than in the main thread, and in a job in the background, nobody can press it.
    heard = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT)
    if heard is not signal.default_int_handler:
        yield noted
        return
    signal.signal(signal.SIGINT, note_and_raise)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, heard)


def run(app: typer.Typer) -> None:
    """Run an app whose groups are `Group` as the program `sertool`, and exit."""
    try:
        app(prog_name="sertool")
    except KeyboardInterrupt as error:
        # While Typer makes commands of functions, before there is a group that would catch it.
        sys.exit(_end(error, "sertool"))


def _take_debug(args: Sequence[str]) -> tuple[list[str], bool]:
    """Return the arguments without `--debug`, and whether it was among them: it may stand anywhere before a `--`."""
    args = list(args)
    end = args.index("--") if "--" in args else len(args)
    return [arg for arg in args[:end] if arg != "--debug"] + args[end:], "--debug" in args[:end]


def _end(error: BaseException, program: str) -> int | str | None:
    """Say in one line what ended the program, if there is anything to say, and return its exit code."""
    if isinstance(error, _Ended):
        error = error.__cause__
    if isinstance(error, SystemExit):
        return error.code
    if isinstance(error, BrokenPipeError):
        # Nobody reads stdout any more; point it at nothing, or Python complains when it flushes it at the end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        _error(f"interrupted: {_remedies[-1]}")
        return INTERRUPTED
    if isinstance(error, SertoolError):
        _error(str(error))
        return error.exit_code
    if isinstance(error, _UsageError):
        return _end_usage(error, program)
    if isinstance(error, OSError):
        _error(_describe_os_error(error))
        return WRONG_INPUT
    if isinstance(error, MemoryError):
        _error("out of memory: give fewer or shorter inputs at once, or fewer workers")
        return WRONG_INPUT
    if isinstance(error, ImportError):
        _error(f"{error}: this installation is broken: run `sertool doctor` to see what to mend")
        return WRONG_INPUT
    # Not the user's to mend, so not in three beats.
    _error(f"{type(error).__name__}: {error} (a fault of {program}, not yours: run it with --debug and report it)")
    return WRONG_INPUT


def _end_usage(error: Any, program: str) -> int:
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        # The help is the answer; with rich it has been printed by now and the message is empty.
        if message:
            result(message)
        return DONE
    command = error.ctx.command_path if error.ctx is not None else program
    _error(f"{message.rstrip('.')}: see {command} --help")
    return WRONG_INPUT


def _describe_os_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _error(message: str) -> None:
    err.print(Text.assemble(("error:", "bold red"), " ", _one_line(message)), soft_wrap=True)


def _one_line(message: str) -> str:
    """Return a message in one line a person can read: what it quotes of a file may be megabytes."""
    line = _printable(" ".join(message.split("\n")))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} […] {line[-_LONGEST // 2 :]}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _printable(text: str) -> str:
    """Return text with what cannot or must not be printed spelled out: bytes that are no characters (in a file's name),
    and characters by which a stranger's file would steer the terminal or turn the direction of reading."""
    return _STEERING.sub(lambda found: repr(found[0])[1:-1], text).encode("utf-8", "backslashreplace").decode("utf-8")
