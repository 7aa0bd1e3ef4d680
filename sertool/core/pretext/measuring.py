"""What each utterance's clean speech and face measure, before anything is called high or low."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.audio.files import read_audio
from sertool.core.engine import default_workers, map_tasks
from sertool.core.pretext.action_units import expression_of_frames, expression_of_summary
from sertool.core.pretext.energy import energy_variation
from sertool.core.pretext.face_error import FaceError
from sertool.core.pretext.face_tables import FaceTable
from sertool.core.pretext.faces import Face
from sertool.core.pretext.facial_activation import facial_activation
from sertool.core.pretext.openface import FaceTrack, read_openface
from sertool.core.training.pretext_settings import ActionUnits, Faces


@dataclass(frozen=True)
class FaceNeeds:
    """What is to be read of faces: landmarks, action units, or both; and by which settings."""

    landmarks: bool
    units: bool
    faces: Faces
    action_units: ActionUnits


@dataclass(frozen=True)
class Measured:
    """What one utterance measures; None where there is nothing to measure.

    Attributes:
        level_db: RMS of its clean speech in dB of full scale; -inf for silence.
        energy_db: energy variation.
        activation: facial activation over all landmarks, inter-ocular distances a second.
        activation_without_mouth: the same without those of the mouth.
        expression: of the face.
        unreadable_frames: of the video.
        activation_problem: why the face has no activation though that was asked for, in words to count by.
        expression_problem: likewise of its expression.
        usable_share: of the video's frames, those tracked well enough to be measured.
        messages: of each of these problems, a sentence that names the file.
    """

    level_db: float
    energy_db: float | None
    activation: float | None = None
    activation_without_mouth: float | None = None
    expression: str | None = None
    unreadable_frames: int = 0
    activation_problem: str | None = None
    expression_problem: str | None = None
    usable_share: float | None = None
    messages: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """Measures one utterance; picklable, so that processes can.

    Attributes:
        needs: of faces.
        tables: the tables of clips that faces are rows of, by path.
    """

    needs: FaceNeeds
    tables: dict[Path, FaceTable] = field(default_factory=dict)

    def __call__(self, item: tuple[str, float, Face | None]) -> Measured:
        """Measure the speech of a file and the face that belongs to it.

        Args:
            item: the file of clean speech, its duration in seconds, and its face.

        Raises:
            AudioError: the file cannot be read.
        """
        path, duration_s, face = item
        samples = read_audio(path)
        with np.errstate(divide="ignore"):
            level_db = float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))
        energy_db = energy_variation(samples)
        if face is None:
            return Measured(level_db, energy_db)
        found: dict[str, Any] = {}
        messages: dict[str, str] = {}
        unreadable, shares = 0, []
        # One by one: a file without landmarks may have action units, and the other way round.
        for kind, wanted, of_face in (
            ("activation", self.needs.landmarks, self._activation),
            ("expression", self.needs.units, self._expression),
        ):
            try:
                of_kind = of_face(face, duration_s) if wanted else {}
            except FaceError as error:
                of_kind = {f"{kind}_problem": error.reason}
                messages[error.reason] = str(error)
            unreadable = max(unreadable, of_kind.pop("unreadable_frames", 0))
            shares += [of_kind.pop("usable_share")] if "usable_share" in of_kind else []
            found |= of_kind
        share = min(shares, default=None)
        return Measured(
            level_db, energy_db, **found, unreadable_frames=unreadable, usable_share=share, messages=messages
        )

    def _activation(self, face: Face, duration_s: float) -> dict[str, Any]:
        """Return how much a face moves, by the names of `Measured`."""
        if face.row is not None:
            raise FaceError(
                "a table of clips has no landmarks",
                f"{face.path}: has no landmarks, by which facial activation is measured; expected OpenFace files: name "
                "their folder",
            )
        track, usable = self._track(face.path, duration_s, landmarks=True, units=False)
        try:
            found = facial_activation(track.landmarks, track.timestamps_s, track.confidence, usable, track.frames)
        except FaceError as error:
            raise FaceError(error.reason, f"{face.path}: {error}") from error
        return {
            "activation": found.whole,
            "activation_without_mouth": found.without_mouth,
            "unreadable_frames": track.unreadable_frames,
            "usable_share": float(usable.mean()),
        }

    def _expression(self, face: Face, duration_s: float) -> dict[str, Any]:
        """Return what a face expresses, by the names of `Measured`."""
        settings = self.needs.action_units
        if face.row is not None:
            table = self.tables[face.path]
            intensity, presence = table.row_of(face.row)
            try:
                found = expression_of_summary(intensity, presence, table.units, floor=settings.floor)
            except FaceError as error:
                raise FaceError(error.reason, f"{face.path}: {table.keys[face.row]}: {error}") from error
            return {"expression": found.label}
        track, usable = self._track(face.path, duration_s, landmarks=False, units=True)
        presence = track.presence if settings.presence else None
        try:
            found = expression_of_frames(track.intensity, track.units, usable, floor=settings.floor, presence=presence)
        except FaceError as error:
            raise FaceError(error.reason, f"{face.path}: {error}") from error
        return {
            "expression": found.label,
            "unreadable_frames": track.unreadable_frames,
            "usable_share": float(usable.mean()),
        }

    def _track(self, path: Path, duration_s: float, *, landmarks: bool, units: bool) -> tuple[FaceTrack, np.ndarray]:
        """Return a face as long as the speech, and which of its frames can be used, bool, (F,)."""
        needs = self.needs
        track = read_openface(path, landmarks=landmarks, units=units, presence=needs.action_units.presence)
        if abs(track.duration_s - duration_s) > needs.faces.max_length_difference_s:
            raise FaceError(
                "video and audio differ in length",
                f"{path}: the video lasts {track.duration_s:.2f} s, the speech {duration_s:.2f} s; expected a "
                f"difference of {needs.faces.max_length_difference_s:g} s at most: join them anew, or set "
                "pretext.faces.max_length_difference_s",
            )
        usable = track.tracked & (track.confidence >= needs.faces.min_confidence)
        if not usable.any():
            raise FaceError(
                "no frame was tracked well enough",
                f"{path}: no frame was tracked with a confidence of {needs.faces.min_confidence:g}; expected some: "
                "film it anew, or lower pretext.faces.min_confidence",
            )
        return track, usable


def measure(
    paths: Sequence[str],
    durations_s: Sequence[float],
    faces: Sequence[Face | None],
    work: Work,
    *,
    done: Callable[[int], None] = lambda count: None,
) -> list[Measured]:
    """Return what utterances measure, in order; in several processes where there are enough to be worth starting them.

    Args:
        paths: their clean speech, N.
        durations_s: as their headers say, N.
        faces: those that belong to them, N.
        work: what is to be measured.
        done: called with how many more are done.

    Raises:
        AudioError: a file cannot be read.
    """
    items = list(zip(paths, durations_s, faces, strict=True))
    workers = min(default_workers(), 1 + len(items) // 2000)
    measured = []
    with closing(map_tasks(work, items, workers=workers, describe=lambda item: item[0])) as outcomes:
        for outcome in outcomes:
            if outcome.error:
                raise outcome.error
            measured.append(outcome.value)
            done(1)
    return measured
