"""Make the model that comes with the package, from the data to its card: one resumable command.

    python examples/shipped_model.py DATA WORK [--enhancement RUN] [--emotion RUN] [-o FOLDER] [--results RESULTS.json]

DATA holds ravdess/, emodb/, nemo/, librispeech/, picovoice/ and noise/{seen,unseen}/. WORK takes manifests, rooms and
runs. The enhancement head learns from clean speech of LibriSpeech train-clean-100, of nEMO's train speakers and of the
spoken commands, in rooms and at other levels, bands and codecs: it never hears RAVDESS or EmoDB. The encoder first
learns to denoise the same speech, then emotion from the train speakers of RAVDESS, EmoDB and nEMO together. Both become
one model, whose class probabilities are calibrated on the dev speakers in dev noise and whose weights are halved; it is
written to FOLDER, the package's own by default, and judged on the test speakers in noise of unseen kinds, beside
functionals with an SVM trained on each corpus by itself. Runs that are named are taken as they are.
"""

import argparse
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cluster_table import HERE, run_python, sertool
from scipy.optimize import minimize_scalar

from sertool.core.audio.files import SAMPLE_RATE, find_audio, read_audio, write_audio
from sertool.core.audio.speech_level import speech_level
from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.corpus.mixing import Mixer
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.snr import SnrChoice
from sertool.core.environment import installed_versions
from sertool.core.errors import InputError
from sertool.core.evaluation.provenance import portable
from sertool.core.models.abstention import speech_presence
from sertool.core.models.locate import SHIPPED
from sertool.core.models.recognizer import Recognizer
from sertool.core.models.shared import SharedModel
from sertool.core.models.storage import WEIGHTS_NAME, read_config, save_half
from sertool.core.training.recipe import make_recipe, recipe_text
from sertool.core.training.run import RECIPE_NAME, Run, open_run, write_seen
from sertool.core.writing import write_text

CORPORA = {
    "ravdess": ["--folds", 6, "--fold", 0],
    "emodb": ["--test-speakers", "03,08", "--dev-speakers", "09,10"],
    "nemo": ["--test-speakers", "EB0,KS0", "--dev-speakers", "IC0,MP0"],
}
"""The corpora of emotion, and how each is split by speaker."""

SPEECH = {"librispeech": Path("librispeech", "train-clean-100"), "picovoice": Path("picovoice")}
"""Where the clean speech without labels lies."""

LONGEST_S, LEAST_ACTIVITY = 3.0, 0.3
"""For the enhancement head recordings are cut, so that all of them is heard in an epoch; parts with less speech are
left out."""

DEV_EVERY = 4
"""Of nEMO's dev utterances the enhancement head is judged on one in so many, after each epoch."""

ROOMS = 120
CALIBRATED_AT, CALIBRATE_EVERY = (None, 10.0, 5.0, 0.0, -5.0), 2
"""Signal-to-noise ratios in dB at which the class probabilities are calibrated, together, None for clean; one dev
utterance in so many is heard."""

SPOKEN = 0.99
"""Share of the dev speech at 0 dB and above that is to be taken for speech."""

SNRS = ("clean", "20", "10", "5", "0", "-5")
SEED = 0


def main() -> None:
    """Prepare, train, join, judge."""
    options = _options()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.work.mkdir(parents=True, exist_ok=True)
    for name, path in vars(options).items():
        setattr(options, name, path and path.resolve())
    os.chdir(options.work)
    prepare(options.data)
    runs = {"enhancement": train_enhancement, "emotion": train_emotion}
    with ThreadPoolExecutor(2) as pool:
        for training in [pool.submit(one, options.data) for name, one in runs.items() if not getattr(options, name)]:
            training.result()
    enhancement, emotion = (getattr(options, name) or Path(name) for name in runs)
    model = join(enhancement, emotion)
    chosen = calibrate(model, options.data / "noise" / "seen")
    ship(model, [open_run(enhancement), open_run(emotion)], options.output)
    results = judge(options.output, options.data)
    document = {
        "command": ["python", "examples/shipped_model.py", *_command(options)],
        "versions": installed_versions(["sertool", "torch", "numpy", "scikit-learn", "soundfile", "pyroomacoustics"]),
        "seed": SEED,
        "chosen_on_dev": chosen,
        "runs": {name: _told(run) for name, run in (("enhancement", enhancement), ("emotion", emotion))},
        **results,
    }
    write_text(options.results, json.dumps(document, indent=1) + "\n")
    write_text(options.output / "README.md", card(document, options.output))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--enhancement", type=Path, metavar="RUN", help="a finished one, instead of training it")
    parser.add_argument("--emotion", type=Path, metavar="RUN", help="a finished one, instead of training it")
    parser.add_argument("-o", "--output", type=Path, default=SHIPPED, metavar="FOLDER")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "shipped-model.json")
    return parser.parse_args()


def _command(options: argparse.Namespace) -> list[str]:
    """Return the arguments this was called with, folders by their names alone."""
    named = {f"--{name}": getattr(options, name) for name in ("enhancement", "emotion")}
    words = [word for option, run in named.items() if run for word in (option, run.name)]
    return [options.data.name, options.work.name, *words]


def prepare(data: Path) -> None:
    """Write what is learned from, where that was not done before: manifests, parts of recordings, rooms."""
    for corpus, split in CORPORA.items():
        if not Path(f"{corpus}.csv").is_file():
            sertool("corpus", corpus, data / corpus, *split, "-o", f"{corpus}.csv")
    if not Path("emotional.csv").is_file():
        names = [f"{corpus}.csv" for corpus in CORPORA]
        sertool("corpus", "merge", *names, "--categories", "all", "-o", "emotional.csv")
    if not Path("nemo-speech.csv").is_file():
        table = Manifest.read("nemo.csv").table
        few = table[table["split"] == "dev"].iloc[::DEV_EVERY]
        pd.concat([table[table["split"] == "train"], few]).to_csv("nemo-speech.csv", index=False)
    for name, folder in SPEECH.items():
        if not Path(f"{name}.csv").is_file():
            sertool("corpus", "folder", data / folder, "-o", f"{name}.csv")
        if not Path(f"{name}-parts.csv").is_file():
            cut(data / folder, Path(f"{name}-parts"))
            sertool("corpus", "folder", f"{name}-parts", "-o", f"{name}-parts.csv")
    sertool("rooms", "--count", ROOMS, "--seed", SEED, "-o", "rooms")


def cut(folder: Path, output: Path) -> None:
    """Write the recordings of a folder as equal parts, none longer than `LONGEST_S`, where there is enough speech."""
    longest = round(LONGEST_S * SAMPLE_RATE)
    for path in find_audio(folder):
        samples = read_audio(path)
        count = -(-len(samples) // longest)
        for number in range(count):
            part = samples[len(samples) * number // count : len(samples) * (number + 1) // count]
            if activity(part) >= LEAST_ACTIVITY:
                target = output / path.relative_to(folder).with_name(f"{path.stem}-{number}.flac")
                target.parent.mkdir(parents=True, exist_ok=True)
                write_audio(target, part, SAMPLE_RATE)


def activity(samples: np.ndarray) -> float:
    """Return the share of the time in which speech is active (ITU-T P.56); 0 where none is."""
    try:
        return speech_level(samples).activity
    except InputError:
        return 0.0


def train_enhancement(data: Path) -> None:
    """Train the enhancement head, or go on with it."""
    sertool(
        *["train", "nemo-speech.csv", *(f"{name}-parts.csv" for name in SPEECH), "--noise", data / "noise" / "seen"],
        *["--recipe", HERE / "recipes" / "enhancement.yaml", "--set", "noise.rir=rooms"],
        *["--seed", SEED, "-o", "enhancement"],
    )


def train_emotion(data: Path) -> None:
    """Pre-train the encoder by denoising, then teach it emotion; or go on with either."""
    noise = ["--noise", data / "noise" / "seen", "--seed", SEED]
    sertool(
        *["pretrain", "nemo.csv", *(f"{name}.csv" for name in SPEECH), "--task", "denoise", *noise],
        *["--recipe", HERE / "recipes" / "robustness-encoder.yaml", "-o", "encoder"],
    )
    sertool(
        *["train", "emotional.csv", *noise, "--encoder", "encoder"],
        *["--recipe", HERE / "recipes" / "shipped-emotion.yaml", "-o", "emotion"],
    )


def join(enhancement: Path, emotion: Path) -> SharedModel:
    """Return one model with the enhancement head of one run, and the encoder and emotion head of another.

    Raises:
        InputError: the enhancement head goes by the features of its own encoder.
    """
    speech, feeling = (SharedModel.from_pretrained(open_run(run).model_folder) for run in (enhancement, emotion))
    if not speech.config.enhances or speech.config.enhancement.hears_encoder:
        raise InputError(
            f"{enhancement}: has no enhancement head that does without an encoder: train one as the recipe says"
        )
    config = feeling.config.model_copy(update={"enhancement": speech.config.enhancement, "base": None})
    model = SharedModel(config)
    head = {name: tensor for name, tensor in speech.state_dict().items() if name.startswith("enhancement_head.")}
    model.load_state_dict(feeling.state_dict() | head)
    return model.eval()


def calibrate(model: SharedModel, noise: Path) -> dict:
    """Set what is chosen on dev speakers in dev noise: the temperature, and below what share kept nobody speaks.

    The class logits are divided by the temperature at which the labels are most likely (Guo et al., ICML 2017), in the
    weights of the last layer. The threshold is what `SPOKEN` of the speech at 0 dB and above keeps.
    """
    recognizer = Recognizer(model, folder=Path("."), device=torch.device("cpu"), model_id="")
    manifest = Manifest.read("emotional.csv")
    dev = manifest.where((manifest.table["split"] == "dev").to_numpy(bool))
    mixer = Mixer(NoiseSet.read(noise, part="dev"), SnrChoice(tuple(one for one in CALIBRATED_AT if one is not None)))
    shares, labels, kept_db = [], [], []
    for path, label in list(zip(dev.paths(), dev.table["emotion"], strict=True))[::CALIBRATE_EVERY]:
        clean = read_audio(path)
        for snr_db in CALIBRATED_AT:
            noisy = clean if snr_db is None else mixer.mix(clean, utterance_key(path), snr_db=snr_db).noisy
            prediction, enhanced = recognizer.hear(noisy.astype(np.float32))
            shares.append(list(prediction.probabilities.values()))
            labels.append(model.config.categories.index(label))
            if snr_db is None or snr_db >= 0:
                kept_db.append(speech_presence(noisy, enhanced).score)
    temperature = likeliest_temperature(np.array(shares), np.array(labels))
    last = model.emotion_head.categories
    with torch.no_grad():
        last.weight /= temperature
        last.bias /= temperature
    threshold_db = float(np.clip(np.floor(np.quantile(kept_db, 1.0 - SPOKEN)), -20.0, -1.0))
    model.config = model.config.model_copy(update={"speech_kept_db": threshold_db})
    return {"temperature": round(temperature, 4), "speech_kept_db": threshold_db}


def likeliest_temperature(shares: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature at which labels (N,) are most likely under probabilities (N, C)."""
    logits, wanted = torch.log(torch.from_numpy(shares)), torch.from_numpy(labels)

    def loss(temperature: float) -> float:
        return torch.nn.functional.cross_entropy(logits / temperature, wanted).item()

    return float(minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded").x)


def ship(model: SharedModel, runs: list[Run], folder: Path) -> None:
    """Write the model in half the bytes, the recipe of its emotion, and what it has heard, by which leaks are found."""
    save_half(model, folder)
    recipe = portable(runs[-1].recipe.model_dump(mode="json"))
    write_text(folder / RECIPE_NAME, recipe_text(make_recipe(recipe)))
    noise = {name: sorted(set().union(*(run.noise[name] for run in runs))) for name in ("kinds", "file_digests")}
    write_text(folder / "run.json", json.dumps({"state": "finished", "noise": noise}, indent=1) + "\n")
    (folder / "seen_audio.txt").unlink(missing_ok=True)
    write_seen(folder, frozenset().union(*(run.seen_audio for run in runs)))


def judge(folder: Path, data: Path) -> dict:
    """Return how well the shipped model recognises emotion in test speakers, by SNR and by the speakers' sex."""
    if not Path("babble.csv").is_file():
        sertool("corpus", "folder", data / "librispeech" / "test-other", "-o", "babble.csv")
    asked = [word for snr in SNRS for word in ("--snr", snr)]
    noise = ["--noise", data / "noise" / "unseen", "--babble", "babble.csv", "--unseen-noise"]
    corpora, model = {}, {}
    for corpus in CORPORA:
        output = Path(f"{corpus}.json")
        how = ["--closed-set", "--no-speech-metrics", "--overwrite", "-o", output]
        sertool("evaluate", f"{corpus}.csv", "--model", folder, *noise, *asked, *how)
        found = json.loads(output.read_text(encoding="utf-8"))
        model = found["model"]
        corpora[corpus] = {
            "categories": model["categories"],
            "svm": classical(corpus, [*noise[:-1], *asked], asked),
            "conditions": [
                {name: one[name] for name in ("condition", "n", "f1_macro", "ua", "intervals")}
                | {"ece": one["calibration"]["ece"]}
                for one in found["conditions"]
            ],
            "by_sex": [
                {name: one[name] for name in ("condition", "gender", "speakers", "n", "f1_macro", "ua")}
                for one in found["by_gender"]
            ],
        }
    return {
        "data": "test speakers, noise of unseen kinds and six-talker babble, one an utterance; one training (n = 1)",
        "model": model["id"],
        # Of the whole model: those of an evaluation are what a closed set leaves.
        "parameters": sum(weight.numel() for weight in SharedModel.from_pretrained(folder).parameters()),
        "corpora": corpora,
    }


def classical(corpus: str, noise: list, asked: list[str]) -> list[dict]:
    """Return the scores of functionals and an SVM, trained on one corpus in the same noise, of the same mixtures."""
    predictions, output = Path(f"{corpus}-svm.csv"), Path(f"{corpus}-svm.json")
    if not predictions.is_file():
        script = [HERE / "functionals_svm.py", f"{corpus}.csv", "--train-noise", noise[1].parent / "seen"]
        run_python(*script, *noise, "--training-seed", SEED, "-o", predictions)
    sertool("evaluate", f"{corpus}.csv", "--predictions", predictions, *asked, "--overwrite", "-o", output)
    found = json.loads(output.read_text(encoding="utf-8"))
    return [{name: one[name] for name in ("condition", "n", "f1_macro", "ua")} for one in found["conditions"]]


def _told(run: Path) -> dict:
    summary = open_run(run).record["summary"]
    return {"name": run.name, **{name: summary[name] for name in ("updates", "best_epoch", "dev")}}


def card(document: dict, folder: Path) -> str:
    """Return the model card, in Markdown."""
    size = (folder / WEIGHTS_NAME).stat().st_size / 1e6
    categories = read_config(folder).emotion.categories
    text = (
        (HERE / "shipped_model_card.md")
        .read_text(encoding="utf-8")
        .format(
            categories=", ".join(categories),
            parameters=f"{document['parameters'] / 1e6:.2f} million",
            size=f"{size:.1f} MB",
            temperature=f"{document['chosen_on_dev']['temperature']:.2f}",
            threshold=f"{document['chosen_on_dev']['speech_kept_db']:g} dB",
            seed=document["seed"],
        )
    )
    return text + "\n" + "\n".join([*_score_tables(document), "", *_sexes(document), ""])


def _score_tables(document: dict) -> list[str]:
    lines = ["## Scores on test speakers, in noise of kinds never heard in training", "", SCORES, ""]
    conditions = [one["condition"] for one in next(iter(document["corpora"].values()))["conditions"]]
    lines += [f"| | {' | '.join(conditions)} |", f"|---|{'---|' * len(conditions)}"]
    for corpus, found in document["corpora"].items():
        for title, name in (("F1-macro", "f1_macro"), ("UA", "ua"), ("ECE", "ece")):
            cells = [f"{one[name]:.2f}" for one in found["conditions"]]
            lines.append(f"| {corpus}, {len(found['categories'])} classes: {title} | {' | '.join(cells)} |")
    return lines


def _sexes(document: dict) -> list[str]:
    lines = ["By the speakers' sex, F1-macro:", ""]
    conditions = [one["condition"] for one in next(iter(document["corpora"].values()))["conditions"]]
    lines += [f"| | speakers | {' | '.join(conditions)} |", f"|---|---|{'---|' * len(conditions)}"]
    for corpus, found in document["corpora"].items():
        for sex in sorted({one["gender"] for one in found["by_sex"]}):
            own = [one for one in found["by_sex"] if one["gender"] == sex]
            cells = " | ".join(f"{one['f1_macro']:.2f}" for one in own)
            lines.append(f"| {corpus}, {sex} | {own[0]['speakers']} | {cells} |")
    return lines


SCORES = """One training, so these support no claim about the recipe. The model chooses among each corpus's own classes.
A test utterance gets one noise, of a kind training has not met or the babble of six strangers, at every SNR. Made by
the command above, written to `examples/results/shipped-model.json`."""


if __name__ == "__main__":
    main()
