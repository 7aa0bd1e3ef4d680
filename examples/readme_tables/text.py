"""What the sections share: reading a result, writing a share."""

import json
from pathlib import Path

MEASURES = {"pesq_wb": ("PESQ-WB", 2), "stoi": ("STOI", 3), "si_sdr": ("SI-SDR, dB", 1)}

NAMES = {"ravdess": "RAVDESS, 8 classes", "emodb": "EmoDB, 7 classes", "nemo": "nEMO, 6 classes"}


def read(path: Path) -> dict | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def short(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".removeprefix("0")
