"""What the mutants are made from and judged beside: a small corpus, noise, a run, an interrupted run, mixtures."""

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from mutators import Sources
from typer.testing import CliRunner
from wav_mutators import FLOAT, chunk, fmt, riff

SPEAKERS = {"a": "train", "b": "train", "c": "dev", "d": "test"}
EMOTIONS = ("anger", "neutral", "sadness")
KINDS = {"hum": ("hum-1.wav", "hum-2.wav"), "hiss": ("hiss-2.wav", "hiss-14.wav")}
"""Recordings of noise; `hum-1` and `hiss-14` are those kept for development (their names' SHA-1 is 0 mod 5)."""

TINY = (
    *("--epochs", "1", "--batch-size", "6", "--device", "cpu"),
    *(
        word
        for setting in (
            "data.workers=0",
            "encoder.compact.mels=8",
            "encoder.compact.dim=8",
            "encoder.compact.layers=1",
            "encoder.compact.kernel=3",
            "encoder.compact.expansion=1",
            "emotion.hidden=8",
            "enhancement.projection=8",
            "enhancement.hidden=8",
            "optimisation.precision=fp32",
            "optimisation.warmup_updates=0",
        )
        for word in ("--set", setting)
    ),
)
"""Flags of a training that takes a moment."""


@dataclass(frozen=True)
class Bench:
    """Where the good files lie.

    Attributes:
        root: of everything.
        sources: what mutants are made from.
    """

    root: Path
    sources: Sources

    @property
    def run(self) -> Path:
        """A finished run."""
        return self.root / "run"

    @property
    def unfinished(self) -> Path:
        """A run interrupted after its first epoch of two."""
        return self.root / "unfinished"

    @property
    def noise(self) -> Path:
        """A folder of noise."""
        return self.root / "noise"

    @property
    def mixtures(self) -> Path:
        """A folder of mixtures of which one is missing."""
        return self.root / "mixtures"

    @property
    def manifest(self) -> Path:
        """The manifest of the corpus."""
        return self.root / "metadata.csv"

    @property
    def keep(self) -> Path:
        """A folder nobody may touch."""
        return self.root / "keep"

    def rows(self, split: str | None = None) -> list[dict[str, str]]:
        """Return the good utterances, as the manifest lists them."""
        with open(self.manifest, newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if split in (None, row["split"])]


def build(root: Path) -> Bench:
    """Make the bench in a new folder."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for speaker, split in SPEAKERS.items():
        for take, emotion in enumerate(EMOTIONS):
            path = root / "speech" / speaker / f"{speaker}_{emotion}.wav"
            _write(path, _voice(rng, 110 + 25 * len(rows) % 90, 0.3))
            votes = {f"votes_{name}": 3 * (name == emotion) + (name == "neutral") for name in EMOTIONS}
            rows.append(
                {
                    "file_name": str(path),
                    "speaker": speaker,
                    "split": split,
                    "emotion": emotion,
                    "gender": "female",
                    "arousal": 2 + take,
                    "text": "so, yes",
                }
                | votes
            )
    for kind, names in KINDS.items():
        for name in names:
            _write(
                root / "noise" / kind / name,
                0.05 * rng.standard_normal(8000) if kind == "hiss" else _voice(rng, 50, 0.5),
            )
    table = pd.DataFrame(rows)
    table.to_csv(root / "metadata.csv", index=False)
    table.to_parquet(root / "metadata.parquet", index=False)
    noises = pd.DataFrame(
        [
            {"file_name": str(root / "noise" / kind / name), "kind": kind}
            for kind, names in KINDS.items()
            for name in names
        ]
    )
    noises.to_csv(root / "noise.csv", index=False)
    (root / "keep").mkdir()
    _write(root / "keep" / "canary.flac", _voice(rng, 100, 0.1))
    os.mkfifo(root / "fifo.wav")
    _corpora(root)
    _train(root)
    _mix(root)
    for name, data in _files(root).items():
        (root / "files" / name).parent.mkdir(exist_ok=True)
        (root / "files" / name).write_bytes(data)
    return reopen(root)


def reopen(root: Path) -> Bench:
    """Return a bench that was built before."""
    files = {path.name: path.read_bytes() for path in (root / "files").iterdir()}
    places = {
        "fifo": str(root / "fifo.wav"),
        "canary": str(root / "keep" / "canary.flac"),
        "audio": str(root / "speech"),
    }
    return Bench(root, Sources(files, places))


def _voice(rng: np.random.Generator, pitch_hz: float, seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * 16_000)) / 16_000
    partials = sum(np.sin(2 * np.pi * pitch_hz * k * time + rng.uniform(0, 6)) / k for k in range(1, 12))
    return 0.1 * partials * (1 + 0.5 * np.sin(2 * np.pi * 4 * time)) + 0.001 * rng.standard_normal(len(time))


def _write(
    path: Path, samples: np.ndarray, rate: int = 16_000, subtype: str | None = "PCM_16", kind: str | None = None
) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype, format=kind)
    return path.read_bytes()


def _sertool(*arguments: object) -> None:
    from sertool.cli.main import app

    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exit_code:
        raise RuntimeError(f"the bench cannot be built: {result.stderr}")


def _train(root: Path) -> None:
    """Train a run to its end, and another that is interrupted after its first epoch."""
    from sertool.core.training.loop import train_run
    from sertool.core.training.recipe import read_recipe
    from sertool.core.training.reporter import Silent

    class Stop(Silent):
        def epoch(self, line: dict) -> None:
            raise KeyboardInterrupt

    _sertool("train", root / "metadata.csv", "--noise", root / "noise", *TINY, "-o", root / "run")
    recipe = read_recipe(root / "run" / "recipe.yaml", {"optimisation.epochs": 2})
    try:
        train_run(recipe, root / "unfinished", reporter=Stop())
    except KeyboardInterrupt:
        return
    raise RuntimeError("the bench cannot be built: the training was not interrupted")


def _mix(root: Path) -> None:
    """Mix the test split: once whole, and once with a mixture missing, so that there is something to go on with."""
    arguments = ("--split", "test", "--noise", root / "noise", "--snr", "0", "--workers", 1)
    for folder in (root / "mixed", root / "mixtures"):
        _sertool("mix-noise", root / "metadata.csv", *arguments, "-o", folder)
    noisy = pd.read_csv(root / "mixed" / "metadata.csv")
    for column in ("file_name", "clean_file"):
        noisy[column] = [str(root / "mixed" / name) for name in noisy[column]]
    noisy.to_csv(root / "noisy.csv", index=False)
    (root / "mixtures" / "metadata.csv").unlink()
    next(root.glob("mixtures/snr_0dB/**/*.flac")).unlink()


STAGES = """- {train: [heads], epochs: 1}
- {train: [heads, encoder-upper, encoder-lower], epochs: 1, rate: 0.5}
"""
RECIPE = """seed: 3
tasks: [emotion, enhancement]
optimisation:
  epochs: 1
  batch_size: 6
emotion:
  dropout: 0.1
noise: {snr_db: [0, 5]}
"""
CREMA_VOTES = """"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote","meanEmoResp"
"100001",5,1,0,0,4,0,"1001_IEO_ANG_HI",10,0.5,"A",50
"100002",3,0,0,0,3,1,"1002_DFA_NEU_XX",7,0.43,"A:N",40
"200001",0,0,0,9,0,1,"1001_IEO_ANG_HI",10,0.9,"H",60
"""
CREMA_SUMMARY = """"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote","MultiModalLevel"
"1","1001_IEO_ANG_HI","A","50","A","50","A","50"
"2","1002_DFA_NEU_XX","A:N","50","N","50","N","50"
"""
CREMA_PEOPLE = """"ActorID","Age","Sex","Race","Ethnicity"
1001,51,"Male","Caucasian","Not Hispanic"
1002,21,"Female","Unknown","Hispanic"
"""
MSP_CONSENSUS = """FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
MSP-PODCAST_0001_0001.wav,A,5.5,2.25,6,11,Male,Train
MSP-PODCAST_0002_0001.wav,N,4,4.2,4,12,Female,Development
MSP-PODCAST_0003_0001.wav,U,5,5,5,13,Female,Test1
"""
MSP_DETAILED = """FileName,WorkerID,EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom
MSP-PODCAST_0001_0001.wav,WORKER1,Angry,"Angry,Frustrated",5,2,6
MSP-PODCAST_0002_0001.wav,WORKER2,Neutral,Neutral,6,2,6
"""
NEMO = """file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage
EB0_anger_1.wav\tanger\tTak.\ttak\tEB0\tfemale\t27
SM0_surprised_2.wav\tsurprised\tTak.\ttak\tSM0\tmale\t30
"""
IEMOCAP = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
C-F1:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[10.0100 - 11.3925]\tSes01F_impro01_M001\tang\t[1.5000, 4.0000, 3.5000]
C-E2:\tAnger;\t()
C-E3:\tFrustration; Anger;\t()
A-E3:\tval 1; act 4; dom  4;\t()
"""
JSON_LINES = """{"file_name": "a.wav", "emotion": "anger", "speaker": "1", "split": "train", "arousal": 3.5}
{"file_name": "b.wav", "emotion": "neutral", "speaker": 2, "split": "test"}
"""
LABELS = {
    "crema-d/tabulatedVotes.csv": CREMA_VOTES,
    "crema-d/summaryTable.csv": CREMA_SUMMARY,
    "crema-d/VideoDemographics.csv": CREMA_PEOPLE,
    "msp-podcast/Labels/labels_consensus.csv": MSP_CONSENSUS,
    "msp-podcast/Labels/labels_detailed.csv": MSP_DETAILED,
    "nemo/data.tsv": NEMO,
    "iemocap/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt": IEMOCAP,
    "folder/metadata.jsonl": JSON_LINES,
}
CLIPS = (
    "crema-d/AudioWAV/1001_IEO_ANG_HI.wav",
    "crema-d/AudioWAV/1002_DFA_NEU_XX.wav",
    *(f"msp-podcast/Audios/MSP-PODCAST_000{n}_0001.wav" for n in (1, 2, 3)),
    "nemo/samples/EB0_anger_1.wav",
    "nemo/samples/SM0_surprised_2.wav",
    *(f"iemocap/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_{who}.wav" for who in ("F000", "M001")),
    "folder/a.wav",
    "folder/b.wav",
)
"""A clip or two of each corpus."""


def _corpora(root: Path) -> None:
    rng = np.random.default_rng(2)
    for clip in CLIPS:
        _write(root / "corpora" / clip, 0.1 * rng.standard_normal(160))
    for file, text in LABELS.items():
        (root / "corpora" / file).parent.mkdir(parents=True, exist_ok=True)
        (root / "corpora" / file).write_text(text, encoding="utf-8")


def _files(root: Path) -> dict[str, bytes]:
    """Return the bytes of good files by name, see `Sources`."""
    rng = np.random.default_rng(1)
    voice, made = _voice(rng, 140, 0.3), root / "made"
    stereo = np.stack([voice, 0.5 * voice], axis=1)
    files = {
        "wav-16": _write(made / "16.wav", voice),
        "wav-24": _write(made / "24.wav", stereo, 44_100, "PCM_24"),
        # Not by libsndfile, which writes the time into a float WAV.
        "wav-float": riff(
            chunk(b"fmt ", fmt(FLOAT, rate=8000, bits=32)), chunk(b"data", voice.astype("<f4").tobytes())
        ),
        "wav-extensible": _write(made / "extensible.wav", np.repeat(stereo, 3, axis=1), 48_000, "PCM_16", "WAVEX"),
        "wav-u8": _write(made / "u8.wav", voice, 16_000, "PCM_U8"),
        "wav-adpcm": _write(made / "adpcm.wav", voice, 16_000, "IMA_ADPCM"),
        "wav-gsm": _write(made / "gsm.wav", voice, 8000, "GSM610"),
        "wav-alaw": _write(made / "alaw.wav", stereo, 8000, "ALAW"),
        "flac-16": _write(made / "16.flac", voice),
        "flac-24": _write(made / "24.flac", stereo, 44_100, "PCM_24"),
        "flac-ogg": _write(made / "ogg.flac", voice, 16_000, None, "OGG"),
        "csv-clean": (root / "metadata.csv").read_bytes(),
        "csv-noisy": (root / "noisy.csv").read_bytes(),
        "csv-noise": (root / "noise.csv").read_bytes(),
        "parquet-clean": (root / "metadata.parquet").read_bytes(),
        "yaml-recipe": (root / "run" / "recipe.yaml").read_bytes(),
        "yaml-stages": STAGES.encode(),
        "yaml-short": RECIPE.encode(),
        "safetensors": (root / "run" / "model" / "model.safetensors").read_bytes(),
        "config": (root / "run" / "model" / "config.json").read_bytes(),
        "runrecord": (root / "unfinished" / "run.json").read_bytes(),
        "state": (root / "unfinished" / "last" / "state.json").read_bytes(),
        "optimizer": next((root / "unfinished" / "last").glob("optimizer*")).read_bytes(),
        "runrecipe": (root / "unfinished" / "recipe.yaml").read_bytes(),
        "metrics": (root / "unfinished" / "metrics.jsonl").read_bytes(),
        "seen": (root / "unfinished" / "seen_audio.txt").read_bytes(),
        "mixplan": (root / "mixtures" / "mix.json").read_bytes(),
        "mixjournal": (root / "mixtures" / "mix.jsonl").read_bytes(),
    }
    for name in ("csv-clean", "csv-noisy"):
        table = pd.read_csv(root / ("metadata.csv" if name == "csv-clean" else "noisy.csv"))
        files[name.replace("csv", "parquet")] = table.to_parquet(index=False)
    files |= {f"labels-{file.replace('/', '-')}": text.encode() for file, text in LABELS.items()}
    return files


def state_names(folder: Path) -> dict[str, str]:
    """Return what the tensors of a run's resumable state are called: `model` and `optimizer`."""
    return json.loads((folder / "last" / "state.json").read_text(encoding="utf-8"))["files"]
