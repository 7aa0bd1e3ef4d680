"""Options of `sertool evaluate`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

ALL = "all"


class OnUnknown(StrEnum):
    """What to do with an utterance of a category the model does not know."""

    EXCLUDE = "exclude"
    ERROR = "error"


Corpus = Annotated[
    Path | None,
    typer.Argument(help="Manifest to evaluate on, clean or noisy.", show_default="the built-in sample corpus"),
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="RUN", help="A run.", show_default="the newest finished run at hand")
]
Noise = Annotated[
    Path | None,
    typer.Option("--noise", help="Test noise: a folder, one subfolder a kind, or a manifest with a column 'kind'."),
]
Kinds = Annotated[list[str] | None, typer.Option("--kind", help="Take only this kind of noise; repeatable.")]
Snrs = Annotated[
    list[str] | None,
    typer.Option("--snr", help="SNR in dB, or 'clean'; repeatable.", show_default="clean, and 0 where there is noise"),
]
Split = Annotated[str, typer.Option("--split", help="Split to evaluate; 'all' takes every utterance.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the draws of noise.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Processes to use.", show_default="one a core, or fewer where there is little to do"
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
NoSpeech = Annotated[bool, typer.Option("--no-speech-metrics", help="Leave speech quality out; much faster.")]
ByKind = Annotated[bool, typer.Option("--by-kind", help="Also score each kind of noise by itself.")]
UnseenNoise = Annotated[
    bool, typer.Option("--unseen-noise", help="Stop if the noise shares a kind or recording with training.")
]
AllowSeen = Annotated[
    bool, typer.Option("--allow-seen", help="Go on, and say so, if the model learned from test utterances.")
]
Unknown = Annotated[OnUnknown, typer.Option("--on-unknown", help="Utterances of a category the model does not know.")]
ClosedSet = Annotated[
    bool, typer.Option("--closed-set", help="Let the model choose among the manifest's categories alone.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="JSON lines: where the scores come from, then one line a condition.")
]
Output = Annotated[
    list[Path] | None,
    typer.Option(
        "--output", "-o", help="Also write everything to this .json, or a table to this .csv or .tex; repeatable."
    ),
]
Outcomes = Annotated[
    Path | None, typer.Option("--outcomes", help="Also write one row an utterance and condition to this CSV file.")
]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Also write a page about all of it, one self-contained HTML file.")
]
Baseline = Annotated[
    list[str] | None,
    typer.Option(
        "--baseline",
        metavar="RUN|CSV",
        help="Compare with this run, or these predictions; repeatable for the folds of one system.",
    ),
]
Predictions = Annotated[
    list[Path] | None,
    typer.Option(
        "--predictions", help="Judge another tool's predictions (file_name, snr_db, predicted) instead; repeatable."
    ),
]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="WORD=CATEGORY", help="A word of those predictions, and our category; repeatable."),
]
EnhancerText = Annotated[
    str | None,
    typer.Option(
        "--enhancer", metavar="CMD|RUN", help="Put speech through 'cmd {in} {out}', or another run, before the model."
    ),
]
EnhancerTimeLimit = Annotated[
    float, typer.Option("--enhancer-time-limit", metavar="SECONDS", help="What a command may take for an utterance.")
]
Mixtures = Annotated[
    Path | None,
    typer.Option("--mixtures", help="Judge on a table of fixed mixtures; the manifest then says who speaks and how."),
]
DnsmosPath = Annotated[
    Path | None, typer.Option("--dnsmos", help="Also score speech by the DNSMOS networks in this folder or ONNX file.")
]
StressTests = Annotated[
    bool, typer.Option("--stress", help="Also test noise kinds, rooms, codecs, faults, silence and noise alone.")
]
RecipePath = Annotated[
    Path | None,
    typer.Option(
        "--recipe", help="YAML whose section 'stress' sets limits; exit 3 if one is missed.", show_default="the run's"
    ),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither use nor keep scores in the user's cache.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace output files that exist.")]
