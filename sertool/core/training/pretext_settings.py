"""What a recipe says of pre-training tasks: which there are, how their targets are made, how much each counts."""

from typing import Annotated, Literal

from pydantic import Field

from sertool.core.models.config import Share, Size, Width
from sertool.core.training.recipe_file import Section

Weight = Annotated[float, Field(ge=0.0, le=1e6)]

LEVELS = ("low", "high")

UTTERANCE_TASKS = {
    "energy": LEVELS,
    "activation": LEVELS,
    "activation-without-mouth": LEVELS,
    "action-units": ("neutral", "happiness", "sadness", "surprise", "fear", "anger", "disgust"),
}
"""Tasks with one label an utterance, each with its classes (Goncalves & Busso, Interspeech 2022)."""

FACE_TASKS = ("activation", "activation-without-mouth", "action-units")
"""Tasks whose labels come from the speaker's face."""

MASKED, MFCC = "masked", "mfcc"
PRETEXT_TASKS = (*UTTERANCE_TASKS, MASKED)


class Energy(Section):
    """Energy variation, high or low: the deviation of the level of frames, on clean speech."""

    weight: Weight = 1.0


class Activation(Section):
    """Facial activation, high or low: how much the landmarks move, with the mouth and without it."""

    weight: Weight = 1.0
    """Of each of the two tasks."""


class ActionUnits(Section):
    """The expression that a combination of facial action units makes."""

    weight: Weight = 1.0
    floor: Annotated[float, Field(gt=0.0, le=5.0)] = 0.5
    """An expression counts where its action units' mean intensity (0–5) reaches this; below, a face is neutral."""
    presence: bool = False
    """Of frames, count a unit's intensity only where OpenFace calls it present (`_c`). In a table of clips, intensity
    is always multiplied by the share of frames in which it is."""


class Masked(Section):
    """Masked prediction of clusters (HuBERT, Hsu et al., TASLP 2021)."""

    weight: Weight = 1.0
    clusters: Annotated[int, Field(ge=2, le=65_536)] = 100
    """K, found by k-means."""
    features: str = MFCC
    """What is clustered: `mfcc`, 13 coefficients with first and second differences, HuBERT's first round; or the hidden
    states of an encoder, its second: a run, or an encoder of `transformers` by name or folder."""
    revision: str | None = None
    """Branch, tag or commit of an encoder on the hub."""
    layer: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Which hidden state is clustered, 0 the first; the middle one without."""
    most_frames: Annotated[int, Field(ge=2, le=100_000_000)] = 500_000
    """Frames of the training split that the clusters are found on, a sample; all frames get labels."""
    iterations: Annotated[int, Field(ge=1, le=10_000)] = 50
    """Of k-means, at most."""
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.08
    """Of the frames, those that begin a hidden span."""
    span: Annotated[int, Field(ge=1, le=1000)] = 10
    """Frames of a span, of 20 ms each."""
    projection: Width = 256
    """Width in which frames and clusters are compared."""


class Faces(Section):
    """Where the speakers' faces are described, and how they are joined to the speech."""

    sources: tuple[str, ...] = ()
    """Folders of OpenFace 2 CSVs, or tables with a row a clip; beside them, or instead, a manifest's `face_file`."""
    key: str = "auto"
    """What of a file's stem finds its face: a regular expression, its first group or all of it, applied on both sides.
    `auto` is the whole stem; of names like RAVDESS's, all but the first field, the modality."""
    min_confidence: Annotated[float, Field(ge=0.0, le=1.0)] = 0.8
    """Frames tracked with less are left out."""
    max_length_difference_s: Annotated[float, Field(ge=0.0)] = 0.5
    """A video that is longer or shorter than the speech by more belongs to something else, and is left out."""


class Pretext(Section):
    """Pre-training tasks beside denoising, whose settings are those of `enhancement`."""

    medians: Literal["corpus", "pooled"] = "corpus"
    """High and low are told apart at the median of the training split: of each corpus (a manifest, or what its column
    `corpus` says), ours, since corpora differ in how they were recorded and cut, and one median would mostly tell
    corpora apart; or of all together."""
    hidden: Size = 64
    """Width of the tasks' heads."""
    dropout: Share = 0.1
    """Of the tasks' heads."""
    energy: Energy = Energy()
    activation: Activation = Activation()
    action_units: ActionUnits = ActionUnits()
    masked: Masked = Masked()
    faces: Faces = Faces()

    def weight_of(self, task: str) -> float:
        """Return how much a task's loss counts in the sum."""
        section = "activation" if task == "activation-without-mouth" else task.replace("-", "_")
        return getattr(self, section).weight
