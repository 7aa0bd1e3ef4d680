"""The SNRs to mix at: fixed ones, or one drawn from a range for every utterance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sertool.core.errors import InputError

SNR_LIMIT_DB = 100.0
"""The largest SNR, and the smallest with its sign changed, at which float32 samples still hold the SNR to 0.01 dB."""


@dataclass(frozen=True)
class SnrChoice:
    """The SNRs to mix at: fixed ones, or one drawn from a range for every utterance.

    Attributes:
        values: fixed SNRs in dB, in the order given, each once.
        span: lowest and highest SNR in dB of a range; None where the SNRs are fixed.
        clean: whether speech without noise was asked for as well (only evaluation does).
    """

    values: tuple[float, ...] = ()
    span: tuple[float, float] | None = None
    clean: bool = False

    def __post_init__(self):
        object.__setattr__(self, "values", tuple(dict.fromkeys(float(value) + 0.0 for value in self.values)))
        if self.span is not None:
            object.__setattr__(self, "span", (float(self.span[0]), float(self.span[1])))
        if not self.values and self.span is None and not self.clean:
            raise InputError("no SNR was given; expected at least one in dB: write for example --snr 0")
        if self.values and self.span is not None:
            raise InputError("a range and fixed SNRs were given together; expected one or the other: choose")
        for value in (*self.values, *(self.span or ())):
            if not abs(value) <= SNR_LIMIT_DB:  # also NaN
                raise InputError(
                    f"an SNR of {value:g} dB cannot be mixed; expected one from {-SNR_LIMIT_DB:g} to {SNR_LIMIT_DB:g}: "
                    "choose one in between"
                )
        if self.span is not None and self.span[0] > self.span[1]:
            raise InputError(
                f"the SNR range {self.span[0]:g}:{self.span[1]:g} is upside down; expected low:high: "
                f"write {self.span[1]:g}:{self.span[0]:g}"
            )

    def draw(self, generator: np.random.Generator) -> float:
        """Return one SNR in dB, uniformly among the fixed ones or from the range."""
        if self.span is not None:
            return float(generator.uniform(*self.span))
        if not self.values:
            raise ValueError("only clean speech was chosen: there is no SNR to draw")
        return self.values[int(generator.integers(len(self.values)))]

    def __str__(self) -> str:
        texts = [snr_text(value) for value in self.values]
        if self.span is not None:
            texts.append(":".join(snr_text(end) for end in self.span))
        return ", ".join(texts + ["clean"] * self.clean)


def snr_text(snr_db: float) -> str:
    """Return an SNR in dB as short as it can be written: "0", "-5", "2.5"."""
    return np.format_float_positional(snr_db + 0.0, trim="-")


def parse_snr(texts: Sequence[str | float], *, allow_clean: bool = False) -> SnrChoice:
    """Return the SNRs a user asked for.

    Args:
        texts: numbers in dB ("0", "-5"), or a single range "low:high"; "clean" besides, where allowed.
        allow_clean: whether "clean" (speech without noise) may be among them.

    Raises:
        InputError: the list is empty, or one of the texts is none of these.
    """
    values: list[float] = []
    span = None
    clean = False
    for text in (str(text).strip() for text in texts):
        if text == "clean" and allow_clean:
            clean = True
        elif ":" in text.strip(":"):
            if span is not None:
                raise InputError(f"a second SNR range, {text}, was given; expected one range at most: leave one out")
            low, high = text.split(":", maxsplit=1)
            span = (_decibels(low, text), _decibels(high, text))
        else:
            values.append(_decibels(text, text))
    return SnrChoice(values=tuple(values), span=span, clean=clean)


def _decibels(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(
            f"'{whole}' is not an SNR; expected a number in dB such as 0 or -5, or a range such as -5:15: correct it"
        ) from error
