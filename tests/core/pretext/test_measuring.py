"""What is measured of an utterance and its face; a face that cannot be used is named, and never silently zero."""

import numpy as np
import pytest
import soundfile
from openface_files import write_openface

from sertool.core.errors import AudioError
from sertool.core.pretext.face_tables import read_face_table
from sertool.core.pretext.faces import Face
from sertool.core.pretext.measuring import FaceNeeds, Work, measure
from sertool.core.training.pretext_settings import ActionUnits, Faces

UNITS = (1, 2, 4, 5, 6, 7, 9, 12, 15, 20, 23, 26)
OTHERS = tuple(unit for unit in UNITS if unit != 6)


@pytest.fixture
def voice(tmp_path):
    time = np.arange(16000) / 16000
    soundfile.write(tmp_path / "voice.wav", 0.5 * np.sin(2 * np.pi * 200 * time), 16000, subtype="FLOAT")
    return tmp_path / "voice.wav"


def face(path, frames=30, **changes):
    shape = np.random.default_rng(0).uniform(100, 300, (68, 2))
    units = {unit: np.full(frames, 2.0 if unit in (6, 12) else 0.1) for unit in UNITS}
    settings = {"landmarks": np.repeat(shape[None], frames, axis=0), "intensity": units}
    return Face(write_openface(path, **settings | changes), None)


def needs(landmarks=True, units=True, faces=None, action_units=None):
    return FaceNeeds(landmarks, units, Faces(**faces or {}), ActionUnits(**action_units or {}))


def measured(voice, face, work):
    return measure([str(voice)], [1.0], [face], work)[0]


def test_level_is_that_of_the_samples_and_silence_has_none(voice, tmp_path):
    found = measured(voice, None, Work(needs()))
    assert found.level_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    assert found.energy_db < 0.5 and found.expression is None and not found.messages
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    silent = measure([str(tmp_path / "silent.wav")], [1.0], [None], Work(needs()))[0]
    assert silent.level_db == -np.inf and silent.energy_db is None


def test_a_face_that_holds_still_smiling(voice, tmp_path):
    found = measured(voice, face(tmp_path / "face.csv"), Work(needs()))
    assert found.expression == "happiness" and not found.messages
    assert found.activation == pytest.approx(0, abs=1e-6) and found.activation_without_mouth == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize(
    ("changes", "activation", "expression"),
    [
        ({"frames": 60}, *["video and audio differ in length"] * 2),
        ({"confidence": 0.5}, *["no frame was tracked well enough"] * 2),
        ({"success": 0}, *["no frame was tracked"] * 2),
        ({"delimiter": ";"}, *["another delimiter"] * 2),
        ({"landmarks": np.ones((30, 51, 2))}, "another landmark count", None),
        (
            {"intensity": {6: np.full(30, np.nan)} | dict.fromkeys(OTHERS, np.zeros(30))},
            None,
            "a column without numbers",
        ),
        ({"intensity": dict.fromkeys(OTHERS, np.zeros(30))}, None, "action unit 6 is missing"),
    ],
)
def test_a_face_that_cannot_be_used_says_why(voice, tmp_path, changes, activation, expression):
    found = measured(voice, face(tmp_path / "odd.csv", **changes), Work(needs()))
    assert found.messages.keys() == {activation, expression} - {None}
    assert all(text.startswith(str(tmp_path / "odd.csv")) for text in found.messages.values())
    assert found.activation_problem == activation and found.expression_problem == expression
    assert (found.activation is None) == bool(activation) and (found.expression is None) == bool(expression)
    assert found.energy_db is not None  # the voice serves the other tasks


def test_limits_are_those_of_the_recipe(voice, tmp_path):
    long, unsure = face(tmp_path / "long.csv", frames=60), face(tmp_path / "unsure.csv", confidence=0.5)
    assert measured(voice, long, Work(needs(faces={"max_length_difference_s": 1.1}))).messages == {}
    assert measured(voice, unsure, Work(needs(faces={"min_confidence": 0.4}))).messages == {}
    assert measured(
        voice, unsure, Work(needs(action_units={"floor": 3.0}, faces={"min_confidence": 0.4}))
    ).expression == ("neutral")


def test_presence_counts_where_it_is_asked_for(voice, tmp_path):
    absent = {unit: np.zeros(30) for unit in UNITS}
    smile = face(tmp_path / "face.csv", presence=absent)
    assert measured(voice, smile, Work(needs())).expression == "happiness"
    assert measured(voice, smile, Work(needs(action_units={"presence": True}))).expression == "neutral"


def test_a_row_of_a_table_has_an_expression_and_no_landmarks(voice, tmp_path):
    names = [f"AU{unit:02d}_{kind}" for kind in "rc" for unit in UNITS]
    values = [2.0 if unit in (6, 12) else 0.1 for unit in UNITS] + [1.0] * len(UNITS)
    path = tmp_path / "table.csv"
    path.write_text(",".join(["clip", *names]) + "\n" + ",".join(["voice", *map(str, values)]) + "\n")
    tables = {path: read_face_table(path)}
    found = measured(voice, Face(path, 0), Work(needs(), tables))
    assert found.expression == "happiness" and found.activation is None and found.expression_problem is None
    assert found.activation_problem == "a table of clips has no landmarks"


def test_audio_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(AudioError):
        measure([str(tmp_path / "broken.wav")], [1.0], [None], Work(needs()))


def test_frames_that_cannot_be_read_count_once_whatever_they_lack(voice, tmp_path):
    shape = np.repeat(np.random.default_rng(0).uniform(100, 300, (68, 2))[None], 30, axis=0)
    shape[:9, 3, 0] = np.nan
    found = measured(voice, face(tmp_path / "face.csv", landmarks=shape), Work(needs()))
    assert found.unreadable_frames == 9 and found.usable_share == pytest.approx(0.7)


def test_columns_no_expression_is_made_of_do_not_matter(voice, tmp_path):
    units = {unit: np.full(30, 2.0 if unit in (6, 12) else 0.1) for unit in UNITS}
    unused = face(tmp_path / "face.csv", intensity=units | {45: np.full(30, np.nan)}, presence={6: np.full(30, np.nan)})
    found = measured(voice, unused, Work(needs()))
    assert found.expression == "happiness" and found.unreadable_frames == 0
