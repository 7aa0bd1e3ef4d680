"""The journal of an evaluation: what it kept comes back exactly, whatever was cut off, and only to the same inputs."""

import dataclasses
import json
import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.errors import InputError, OutputError
from sertool.core.evaluation.by_snr import prepare_evaluation
from sertool.core.evaluation.journal import had_begun_writing, journal_beside, open_journal
from sertool.core.models.config_file import CONFIG_NAME

ROWS = [{"file": "ä.wav", "snr_db": None, "p_anger": 0.1 + 0.2, "nan": math.nan, "n": 3, "seen": False, "text": "a\nb"}]


THESE = {"model": "a", "noise": "b", "seed": "0"}


def keep(path, *places, inputs=THESE):
    """Leave a journal as an evaluation that was interrupted does."""
    with pytest.raises(KeyboardInterrupt), open_journal(path, inputs) as journal:
        for place in places:
            journal.record(place, ROWS)
        raise KeyboardInterrupt


def test_it_lies_hidden_beside_the_results(tmp_path):
    assert journal_beside(tmp_path / "results.json") == tmp_path / ".results.json.journal"


def test_what_it_kept_comes_back_and_it_goes_in_the_end(tmp_path):
    path = tmp_path / "new" / ".r.json.journal"
    keep(path, 1, 0)
    with open_journal(path, THESE) as journal:
        assert not journal.writing
        assert repr(journal.rows) == repr({1: ROWS, 0: ROWS})
        assert repr(journal.record(2, ROWS)) == repr(ROWS)
    assert not path.exists()


def test_nothing_kept_leaves_no_file(tmp_path):
    keep(tmp_path / "journal")
    assert not (tmp_path / "journal").exists()


def test_other_inputs_stop_and_are_named_unless_overwritten(tmp_path):
    keep(tmp_path / "journal", 0, 1)
    kept = (tmp_path / "journal").read_bytes()
    with (
        pytest.raises(InputError, match=r"an unfinished evaluation of other inputs .*\(noise, seed differ\)"),
        open_journal(tmp_path / "journal", {"model": "a", "seed": "1"}),
    ):
        raise AssertionError
    assert (tmp_path / "journal").read_bytes() == kept
    with open_journal(tmp_path / "journal", {"model": "a", "seed": "1"}, overwrite=True) as journal:
        assert journal.rows == {}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The bytes of a journal of three utterances."""
    path = tmp_path_factory.mktemp("kept") / "journal"
    keep(path, 0, 1, 2)
    return path.read_bytes()


@given(data=st.data())
def test_cut_off_anywhere_it_keeps_the_whole_lines(kept, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "journal"
    cut = data.draw(st.integers(0, len(kept)))
    tail = data.draw(st.sampled_from([b"", b"\0\0\0", b"\xff"]))
    path.write_bytes(kept[:cut] + tail)
    whole = max(0, kept[:cut].count(b"\n") - 1)
    with pytest.raises(KeyboardInterrupt), open_journal(path, THESE) as journal:
        assert list(journal.rows) == list(range(whole))
        journal.record(7, ROWS)
        raise KeyboardInterrupt
    with open_journal(path, THESE) as journal:
        assert repr(journal.rows) == repr({**dict.fromkeys(range(whole), ROWS), 7: ROWS})


def test_it_says_when_results_are_being_written(tmp_path):
    path = tmp_path / "journal"
    assert not had_begun_writing(path)
    with pytest.raises(KeyboardInterrupt), open_journal(path, THESE) as journal:
        journal.record(0, ROWS)
        assert not had_begun_writing(path)
        journal.begin_writing()
        raise KeyboardInterrupt
    assert had_begun_writing(path)
    with open_journal(path, THESE) as journal:
        assert journal.writing and list(journal.rows) == [0]


def test_a_full_disk_is_named_and_what_was_kept_stays(tmp_path, full_disk):
    path = tmp_path / "journal"
    with pytest.raises(OutputError, match="journal: cannot be written"), open_journal(path, "a") as journal:
        journal.record(0, ROWS)
        with full_disk(path.stat().st_size + 20):
            journal.record(1, ROWS)
    with open_journal(path, "a") as journal:
        assert list(journal.rows) == [0]


@pytest.mark.parametrize("text", ["[]\n", "3\n", "no journal\n", '{"format": "another"}\n'])
def test_another_file_of_that_name_is_no_journal(tmp_path, text):
    (tmp_path / "journal").write_text(text)
    with open_journal(tmp_path / "journal", THESE) as journal:
        assert journal.rows == {}


class Stop(Exception):
    """Ends an evaluation early."""


def test_an_evaluation_goes_on_to_the_same_results(corpus, noise, run, protocol, tmp_path):
    path = tmp_path / "journal"
    chosen = protocol(noise, measures=("stoi", "estoi"), by_kind=True)
    whole = prepare_evaluation(corpus, run, chosen).run()
    counts = []
    for after in (2, 1, 3):
        evaluation = prepare_evaluation(corpus, run, chosen)
        left = iter(range(after - 1))

        def stop(left=left):
            if next(left, None) is None:
                raise Stop

        with pytest.raises(Stop), open_journal(path, evaluation.inputs) as journal:
            counts.append(len(journal.rows))
            evaluation.run(on_done=stop, journal=journal)
    with open_journal(path, evaluation.inputs) as journal:
        counts.append(len(journal.rows))
        again = prepare_evaluation(corpus, run, chosen).run(journal=journal)
    assert counts == [0, 1, 1, 3]
    assert json.dumps(again.document()) == json.dumps(whole.document())
    assert again.table.to_csv() == whole.table.to_csv()


def test_all_judged_before_are_not_judged_again(corpus, noise, run, protocol, tmp_path, monkeypatch):
    evaluation = prepare_evaluation(corpus, run, protocol(noise, measures=()))
    with pytest.raises(Stop), open_journal(tmp_path / "journal", evaluation.inputs) as journal:
        whole = evaluation.run(journal=journal)
        raise Stop
    monkeypatch.setattr("sertool.core.evaluation.by_snr.judge_utterance", None)
    with open_journal(tmp_path / "journal", evaluation.inputs) as journal:
        again = evaluation.run(journal=journal)
    assert json.dumps(again.document()) == json.dumps(whole.document())


def test_whatever_decides_an_outcome_changes_the_inputs(corpus, noise, run, protocol, edit, tmp_path, make_run):
    base = prepare_evaluation(corpus, run, protocol(noise))
    assert prepare_evaluation(corpus, run, protocol(noise)).inputs == base.inputs
    assert prepare_evaluation(corpus, run, protocol(noise, by_kind=True)).inputs == base.inputs
    others = [
        prepare_evaluation(corpus, run, protocol(noise, seed=1)),
        prepare_evaluation(corpus, run, protocol(noise, snr=("0",))),
        prepare_evaluation(corpus, run, protocol(noise, measures=())),
        prepare_evaluation(corpus, run, protocol(noise / "hiss")),
        prepare_evaluation(corpus, run, protocol(noise, split="train")),
        prepare_evaluation(corpus, make_run(tmp_path / "other", attributes=("arousal",)), protocol(noise)),
        prepare_evaluation(edit(corpus, tmp_path, arousal=["3.0"] * 7), run, protocol(noise)),
        dataclasses.replace(base, provenance=base.provenance | {"versions": {"torch": "0"}}),
    ]
    digests = {json.dumps(one.inputs) for one in others}
    assert len(digests) == len(others) and json.dumps(base.inputs) not in digests


def test_audio_that_has_changed_since_changes_the_inputs(corpus, noise, run, protocol):
    evaluation = prepare_evaluation(corpus, run, protocol(noise))
    path = evaluation.utterances[0].path
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    again = prepare_evaluation(corpus, run, protocol(noise)).inputs
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert again != evaluation.inputs


def test_a_manifest_with_a_speaker_in_two_splits_is_refused(corpus, noise, run, protocol, edit, tmp_path):
    with pytest.raises(InputError, match="speaker 's' is in test and train"):
        prepare_evaluation(edit(corpus, tmp_path, speaker=["s"] * 7), run, protocol(noise))


def test_a_model_that_finds_speech_by_another_rule_is_another_input(corpus, make_run, tmp_path, protocol):
    run = make_run(tmp_path / "run")
    before = prepare_evaluation(corpus, run, protocol(snr=("clean",))).inputs
    config = run / "model" / CONFIG_NAME
    config.write_text(json.dumps(json.loads(config.read_text()) | {"speech_kept_db": -20.0}))
    after = prepare_evaluation(corpus, run, protocol(snr=("clean",))).inputs
    assert {name for name in before if before[name] != after[name]} == {"model"}
