"""What the console may say and where."""

import json

import pytest

from sertool.cli import console


def test_results_are_never_wrapped_cut_or_interpreted(capfd):
    line = "/folder [bold]with[/bold] :smile: " + "long" * 100 + "/a.wav"
    console.result(line)
    assert capfd.readouterr().out == line + "\n"


def test_a_file_name_that_is_not_text_survives(capfdbinary):
    console.result(b"caf\xe9.wav".decode("utf-8", "surrogateescape"))
    assert capfdbinary.readouterr().out == b"caf\xe9.wav\n"


def test_messages_go_to_stderr_in_one_line(capfd):
    console.note("a\nb")
    console.warn("[red]c[/red] " + "long" * 100)
    console.note(b"caf\xe9.wav".decode("utf-8", "surrogateescape"))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["a b", "warning: [red]c[/red] " + "long" * 100, "caf\\udce9.wav"]


def test_what_a_file_says_does_not_steer_the_terminal(capfd):
    console.note("clear\x1b[2J title\x1b]0;x\x07 back\r bell\x07 c1\x9b turn\u202e \u2028 é")
    console.table(["[b]cell\x1b[0m"], [["red\x1b[31m\n"]])
    captured = capfd.readouterr()
    assert captured.err == (
        "clear\\x1b[2J title\\x1b]0;x\\x07 back\\r bell\\x07 c1\\x9b turn\\u202e \\u2028 é\n"
    )
    assert captured.out.splitlines()[0].rstrip() == "[b]cell\\x1b[0m"
    assert captured.out.splitlines()[1].rstrip() == "red\\x1b[31m\\n"


def test_a_message_that_quotes_a_giant_field_keeps_its_two_ends(capfd):
    console.note(f"a.csv: '{'x' * 1_000_000}' is no number: correct it")
    line = capfd.readouterr().err
    assert line.startswith("a.csv: 'xxx") and line.endswith("xxx' is no number: correct it\n") and len(line) < 5000


def test_a_table_away_from_a_terminal_keeps_every_cell_whole(capfd):
    path = "/very" * 60 + "/long.wav"
    console.table(["file", "F1"], [[path, 0.5], ["b", None], ["c", "12.25"]])
    lines = capfd.readouterr().out.splitlines()
    assert path in lines[1]
    assert [line.split()[-1] for line in lines] == ["F1", "0.5", "–", "12.25"]
    assert len({len(line) for line in lines}) == 1  # numbers end in one column


def test_json_lines_hold_no_invented_numbers(capfd):
    console.json_line({"wörd": 1, "none": None})
    assert json.loads(capfd.readouterr().out) == {"wörd": 1, "none": None}
    with pytest.raises(ValueError, match="JSON"):
        console.json_line({"x": float("nan")})


def test_progress_is_silent_away_from_a_terminal(capfd):
    with console.progress(2, "working") as advance:
        advance()
        advance(1, note="loss 0.1")
    assert capfd.readouterr() == ("", "")


def test_failures_are_listed_and_counted(capfd):
    console.list_failures(["a.wav: is bad", "b.wav: is bad"], total=3)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[:2] == ["failed: a.wav: is bad", "failed: b.wav: is bad"]
    assert "2 of 3" in captured.err
