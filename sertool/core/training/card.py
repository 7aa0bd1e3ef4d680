"""The model card a run leaves: what it learned from, how well it did on the dev split, and what that does not say."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sertool.core.training.pacing import curriculum_title
from sertool.core.training.recipe import NEW_ENCODERS, Recipe
from sertool.core.training.run import REPORT_NAME, TARGETS_NAME
from sertool.core.writing import write_text

if TYPE_CHECKING:
    from sertool.core.training.inputs import Inputs
    from sertool.core.training.run import Run


def write_card(run: "Run", recipe: Recipe, inputs: "Inputs", summary: dict[str, Any]) -> None:
    """Write the run's `README.md`."""
    config = inputs.config
    seconds = float(inputs.train.durations_s.sum())
    manifests = ", ".join(Path(name).name for name in recipe.data.manifests)
    stages = "; ".join(f"{stage.epochs} epochs of {', '.join(stage.train)}" for stage in recipe.stages())
    origin = "" if recipe.encoder.name in NEW_ENCODERS else f", taken over from {Path(recipe.encoder.name).name}"
    counts = ", ".join(f"{name} {round(count, 1):.10g}" for name, count in inputs.counts.items())
    pacing, curriculum = inputs.pacing, []
    if recipe.curriculum:
        title = curriculum_title(recipe, inputs.scores)
        bins = f"{pacing.num_bins} cumulative bins, epochs from one to the next: {pacing.epochs_per_bin}"
        curriculum = [f"- Curriculum: {title}; {bins}; the learning rate × {pacing.rate_factor:g} at each."]
    by_votes = "" if recipe.emotion.loss == "cross-entropy" else ", by the annotators' votes"
    attributes = "; ".join(filter(None, (", ".join(config.attributes), inputs.learned_attributes)))
    derived = "Derived attributes are the same for all utterances of a category: their CCC is a score of categories."
    lines = [
        f"# {run.folder.name}",
        "",
        f"A shared model of sertool for {' and '.join(recipe.tasks)}, trained with seed {recipe.seed}.",
        "",
        "## Data",
        f"- Manifests: {manifests}.",
        f"- {len(inputs.train)} utterances ({seconds / 3600:.2f} h) to train, {len(inputs.dev)} to choose the epoch.",
        f"- Noise of training: {', '.join(inputs.noise_kinds) or 'none'}.",
        *([f"- Utterances of each class{by_votes}: {counts}."] if counts else []),
        *_targets(run.folder / REPORT_NAME),
        "- Licence: the weights carry the strictest licence of the data named above; sertool does not know it.",
        "",
        "## Model",
        f"- Encoder: {config.encoder.title}{origin}; {config.adapt.title}.",
        *([f"- Categories: {', '.join(config.categories)}."] if config.categories else []),
        *([f"- Attributes (1–7): {attributes}."] if config.attributes else []),
        f"- Schedule: {stages}.",
        *curriculum,
        "",
        "## Scores on the dev split",
        f"Best epoch: {summary['best_epoch']} of {sum(stage.epochs for stage in recipe.stages())}, counted from 0.",
        "It was chosen by these numbers, so they flatter it.",
        "",
        *[f"- {name}: {value:.3f}" for name, value in summary["dev"].items() if name != "score"],
        "",
        "## Limits",
        "Run `sertool evaluate` on speakers and noise it has never heard before trusting it.",
        *([derived] if "derived" in (inputs.learned_attributes or "") else []),
        *(["Labels of acted speech are not feelings."] if "emotion" in recipe.tasks else []),
        "",
    ]
    write_text(run.folder / "README.md", "\n".join(lines))


def _targets(path: Path) -> list[str]:
    """Return a line on the targets of each pre-training task, and where to read more."""
    if not path.is_file():
        return []
    tasks = json.loads(path.read_text(encoding="utf-8"))["tasks"]
    lines = []
    for name, about in tasks.items():
        counts = ", ".join(f"{label} {count}" for label, count in about["balance"]["train"].items())
        lines.append(f"- Training utterances of each class of {name}: {counts}.")
    return [
        *lines,
        f"- {path.name}: what each task's targets are, and what gives them away; {TARGETS_NAME}: all of them.",
    ]
