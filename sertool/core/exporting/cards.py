"""What a run's own card says, and the card of an exported folder, with a script that loads it."""

import re
from pathlib import Path

from sertool.core.models.config import SharedConfig

_LICENCE = re.compile(r"^[-*]\s*Licen[cs]e:\s*(.+)$", re.MULTILINE | re.IGNORECASE)


def run_card(model_folder: Path | str) -> str | None:
    """Return the card (`README.md`) of the model in a folder, or of the run that the folder lies in; None without."""
    folder = Path(model_folder)
    above = [folder.resolve().parent] if folder.resolve().name == "model" else []
    for place in (folder, *above):
        if (place / "README.md").is_file():
            return (place / "README.md").read_text(encoding="utf-8", errors="replace")  # it may be anybody's text
    return None


def licence_of(card: str | None) -> str | None:
    """Return what a card says of the licence, in one line."""
    found = _LICENCE.search(card or "")
    return found[1].strip() if found else None


def folder_card(config: SharedConfig, *, name: str, model_id: str, card: str | None) -> str:
    """Return the card of an exported folder.

    Args:
        config: of the model.
        name: what the model is called.
        model_id: which it is, 12 hex digits.
        card: of the run, what it learned from and how well; it follows below its own first heading.
    """
    tasks = ["speech-emotion-recognition"] * bool(config.emotion) + ["speech-enhancement"] * config.enhances
    kind = "audio-classification" if config.categories else "audio-to-audio" if config.enhances else None
    head = ["---", "library_name: transformers", "license: other", *([f"pipeline_tag: {kind}"] if kind else [])]
    head += ["tags:", *(f"- {tag}" for tag in ("sertool", *tasks)), "---", ""]
    lora = "[lora]" if config.adapt.how == "lora" else ""
    lines = [
        *head,
        f"# {_title(card) or name}",
        "",
        f"Model `{model_id}` of sertool, exported for `transformers`. It hears 16 kHz speech, one channel.",
        "",
        "```python",
        f'# pip install "sertool{lora}"',
        *_script(config),
        "```",
        "",
        "`sertool.load(folder)` reads the same folder; it also resamples, and takes files of any length.",
    ]
    return "\n".join(lines) + "\n" + (f"\n{_body(card)}\n" if card else "")


def _script(config: SharedConfig) -> list[str]:
    lines = ["import soundfile", "import torch", "from transformers import AutoModel", ""]
    lines += ['model = AutoModel.from_pretrained("this/folder", trust_remote_code=True)']
    lines += ['samples, rate = soundfile.read("speech.wav", dtype="float32")  # at 16 kHz']
    lines += ["with torch.inference_mode():"]
    if config.emotion:
        lines += ["    said = model(torch.tensor(samples)[None])"]
    if config.enhances:
        lines += ["    enhanced = model.enhance(torch.tensor(samples)[None])[0]"]
    if config.categories:
        lines += ["print(model.config.id2label[int(said.logits.argmax())])"]
    if config.attributes:
        lines += [f"print(said.attributes)  # {', '.join(config.attributes)}, 1 to 7"]
    return lines


def _title(card: str | None) -> str | None:
    found = re.search(r"^# (.+)$", card or "", re.MULTILINE)
    return found[1].strip() if found else None


def _body(card: str) -> str:
    """Return a card without what an exported one begins with itself: metadata and the first heading."""
    text = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)
    return re.sub(r"\A\s*# .+\n", "", text).strip()
