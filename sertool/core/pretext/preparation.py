"""What comes before pre-training: faces are joined to speech, targets made in the run's folder, and handed over."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from accelerate import Accelerator

from sertool.core.corpus.batches import Masking, Utterances
from sertool.core.corpus.frame_labels import FrameLabels
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.noise import file_digest
from sertool.core.errors import InputError
from sertool.core.models.base import is_trained_here, load_plain
from sertool.core.models.storage import WEIGHTS_NAME
from sertool.core.pretext.faces import Face, FaceSources, JoinedFaces
from sertool.core.pretext.frame_clusters import cluster_frames
from sertool.core.pretext.measuring import FaceNeeds, Work, measure
from sertool.core.pretext.targets import (
    Spoken,
    face_report,
    labels_of,
    lines,
    make_table,
    read_targets,
    report,
    write_targets,
)
from sertool.core.training.inputs import Inputs
from sertool.core.training.pretext_settings import FACE_TASKS, MASKED, MFCC
from sertool.core.training.processes import together
from sertool.core.training.recipe import Recipe
from sertool.core.training.reporter import Reporter
from sertool.core.training.run import CACHE_NAME, Run, open_run
from sertool.core.training.utterances import read_splits
from sertool.core.writing import write_text

CLUSTERS_NAME = "clusters.json"
"""In a run's cache, beside the labels of frames: what their clusters are like; where it is, they are whole."""


class PretextPreparation:
    """Makes the targets of a recipe's pre-training tasks.

    Args:
        recipe: of the run.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.faces: dict[str, Sequence[Face | None]] = {}
        self.spoken: dict[str, Spoken] = {}
        self.sources: FaceSources | None = None

    def check(self, inputs: Inputs) -> Inputs:
        """Read what the tasks need beside speech, and return inputs that say so.

        Raises:
            InputError: there are no faces where a task needs them, or faces nobody looks at; frames cannot be followed;
                a source cannot be used.
        """
        splits = dict(zip(("train", "dev"), read_splits(self.recipe, []), strict=True))
        utterances = {"train": inputs.train, "dev": inputs.dev}
        identity, notes = dict(inputs.identity), list(inputs.notes)
        joined = self._join([*splits["train"], *splits["dev"]])
        if joined:
            identity |= joined.identity
            notes += joined.notes
        faces = joined.faces if joined else [None] * (len(inputs.train) + len(inputs.dev))
        self.faces = {"train": faces[: len(inputs.train)], "dev": faces[len(inputs.train) :]}
        self.spoken = {
            name: Spoken.of(parts, utterances[name].durations_s, self.faces[name]) for name, parts in splits.items()
        }
        seen = inputs.seen_audio | self._about_frames(identity, notes)
        return dataclasses.replace(inputs, identity=identity, notes=tuple(notes), seen_audio=seen)

    def _join(self, parts: list[Manifest]) -> JoinedFaces | None:
        """Return the face of each utterance of all parts; None where no task looks at faces."""
        wanting = [task for task in FACE_TASKS if task in self.recipe.tasks]
        settings = self.recipe.pretext.faces
        if not wanting:
            if settings.sources:
                raise InputError(
                    f"faces were named, and no task looks at them; expected {', '.join(FACE_TASKS[:-1])} or "
                    f"{FACE_TASKS[-1]}: add --task, or leave --faces out"
                )
            return None
        by_row = any(part.has("face_file") for part in parts)
        if not settings.sources and not by_row:
            raise InputError(
                f"the task '{wanting[0]}' needs faces, and none were named; expected OpenFace files or a table: "
                "add --faces, or a column face_file to the manifest"
            )
        self.sources = FaceSources.read(settings.sources, settings.key)
        tables_alone = len(self.sources.tables) == len(self.sources.sources) and not by_row
        if tables_alone and wanting != ["action-units"]:
            raise InputError(
                f"the task '{wanting[0]}' is measured on landmarks, and tables of clips have none; expected "
                "OpenFace files: name their folder with --faces, or leave the task out"
            )
        return self.sources.join(parts)

    def _about_frames(self, identity: dict[str, str], notes: list[str]) -> frozenset[str]:
        """Add what is to be known of the encoder whose hidden states are clustered; return the audio it has heard."""
        recipe, name = self.recipe, self.recipe.pretext.masked.features
        if MASKED not in recipe.tasks:
            return frozenset()
        if recipe.data.speed_change:
            raise InputError(
                f"data.speed_change is {recipe.data.speed_change:g}, and the task masked has a label for each "
                "frame as it was spoken; expected 0: leave one of them out"
            )
        if name == MFCC:
            return frozenset()
        identity["pretext.masked.features"], heard = _about_features(name, recipe.pretext.masked.revision)
        if not is_trained_here(name):
            notes.append(f"{name}: what this encoder has heard is not known; test speech may have been among it")
        return heard

    def make(self, inputs: Inputs, run: Run, accelerator: Accelerator, reporter: Reporter) -> Inputs:
        """Return inputs with targets: made by the first process, or found in the run's folder.

        Raises:
            InputError: a task has nothing to tell apart, or the run's targets are damaged.
            AudioError: a file cannot be read.
            OutputError: the targets cannot be written.
        """
        cache = run.folder / CACHE_NAME
        utterances = {"train": inputs.train, "dev": inputs.dev}
        with together(accelerator):
            if accelerator.is_main_process:
                clusters = self._label_frames(utterances, cache, accelerator, reporter)
                self._make_targets(utterances, run.folder, clusters, reporter)
        with together(accelerator):
            sizes = {name: len(one) for name, one in utterances.items()}
            table, _ = read_targets(run.folder, sizes)
            handed = {name: self._with_targets(one, table, name, cache) for name, one in utterances.items()}
        self.spoken, self.faces, self.sources = {}, {}, None  # a million utterances' worth, wanted no more
        return dataclasses.replace(inputs, **handed)

    def _make_targets(
        self, utterances: dict[str, Utterances], folder: Path, clusters: dict[str, Any] | None, reporter: Reporter
    ) -> None:
        sizes = {name: len(one) for name, one in utterances.items()}
        stored = read_targets(folder, sizes)
        if stored:
            return
        recipe, tasks = self.recipe, self.recipe.pretext_tasks
        needs = FaceNeeds(
            landmarks=any(task.startswith("activation") for task in tasks),
            units="action-units" in tasks,
            faces=recipe.pretext.faces,
            action_units=recipe.pretext.action_units,
        )
        work = Work(needs, self.sources.tables if self.sources else {})
        measured = {}
        reporter.phase("measuring speech and faces" if self.sources else "measuring speech", sum(sizes.values()))
        for name, one in utterances.items():
            clean = one.paths if one.clean_paths is None else one.clean_paths
            faces = self.faces[name]
            measured[name] = measure(clean.tolist(), one.durations_s.tolist(), faces, work, done=reporter.advance)
        table = make_table(recipe, self.spoken, measured)
        found = report(recipe, table)
        if self.sources:
            everyone = [*measured["train"], *measured["dev"]]
            faces = sum(face is not None for part in self.faces.values() for face in part)
            found["faces"] = face_report(everyone, faces)
        if clusters:
            found["masked"] = clusters
        write_targets(folder, table, found)
        for line in lines(found):
            reporter.note(line)

    def _label_frames(
        self, utterances: dict[str, Utterances], cache: Path, accelerator: Accelerator, reporter: Reporter
    ) -> dict[str, Any] | None:
        """Return what the clusters of frames are like, whose labels are written where they are not there yet."""
        if MASKED not in self.recipe.pretext_tasks:
            return None
        stored = _stored_clusters(cache / CLUSTERS_NAME)
        if stored and all((cache / f"{name}.npy").is_file() for name in utterances):
            return stored
        cache.mkdir(exist_ok=True)
        clean = {
            name: (one.paths if one.clean_paths is None else one.clean_paths).tolist()
            for name, one in utterances.items()
        }
        reporter.phase("clustering frames", sum(map(len, clean.values())))
        told = cluster_frames(
            clean,
            cache,
            settings=self.recipe.pretext.masked,
            seed=self.recipe.seed,
            workers=max(1, self.recipe.data.workers),
            device=accelerator.device,
            done=reporter.advance,
        )
        write_text(cache / CLUSTERS_NAME, json.dumps(told) + "\n")
        return told

    def _with_targets(self, one: Utterances, table: pd.DataFrame, split: str, cache: Path) -> Utterances:
        settings = self.recipe.pretext.masked
        masking = None
        if MASKED in self.recipe.pretext_tasks:
            masking = Masking(FrameLabels.open(cache / f"{split}.npy"), settings.share, settings.span)
        return dataclasses.replace(one, targets=labels_of(table, self.recipe, split), masking=masking)


def _stored_clusters(path: Path) -> dict[str, Any] | None:
    """Return what is told of clusters whose labels an interrupted run has written; None where it had not come so far.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: is damaged ({error}); expected what this run's clusters are like: train anew with --overwrite"
        ) from error


def _about_features(name: str, revision: str | None) -> tuple[str, frozenset[str]]:
    """Return the digest of an encoder whose hidden states are clustered, and the audio it has heard."""
    if is_trained_here(name):
        run = open_run(name)
        return file_digest(run.model_folder / WEIGHTS_NAME), run.seen_audio
    _, digest = load_plain(name, revision)
    return digest, frozenset()
