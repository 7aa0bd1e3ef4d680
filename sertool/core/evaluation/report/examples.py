"""The page's part to listen to: a few utterances before and after, seen and heard."""

from collections.abc import Sequence

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.evaluation.report.listening import Listening
from sertool.core.evaluation.report.markup import Html, join, paragraph, section, tag
from sertool.core.evaluation.report.players import LONGEST_S, cap, common_gain, player
from sertool.core.evaluation.report.spectrograms import RANGE_DB, levels_db, spectrogram
from sertool.core.evaluation.report.words import SPACE, capital, in_condition, number, percent

SIGNALS = (("noisy", "What was heard"), ("enhanced", "Enhanced"), ("clean", "Clean, as recorded"))


def listen(examples: Sequence[Listening], *, chosen_by: str = "") -> Html | None:
    """Return the utterances with their spectrograms and players; None where there are none.

    Args:
        examples: in the order they are shown.
        chosen_by: what ranks them, see `sertool.core.evaluation.report.listening.chosen_by`.
    """
    if not examples:
        return None
    ranked = f", ranked {chosen_by}" if chosen_by else ""
    which = "The best, the median and the worst" if len(examples) == 3 else "A few"
    told = f"{which} of the utterances{ranked}. Turn the volume down first: the noise is as loud as it was."
    pictures = (
        "A picture shows which pitches sound when: dark is silence, bright is loud, over "
        f"{RANGE_DB:.0f} dB and alike in the pictures of one utterance. At most {LONGEST_S:g} seconds are shown. "
        "Players hold compressed sound; scores were taken before that."
    )
    return section(
        "listen",
        "See and hear it",
        paragraph(told),
        paragraph(pictures, look="quiet"),
        *(_example(one, place) for place, one in enumerate(examples)),
    )


def _example(example: Listening, place: int) -> Html:
    found = [(name, title, getattr(example, name)) for name, title in SIGNALS]
    # Of clean speech there is nothing to tell apart.
    signals = [(name, title, cap(samples)) for name, title, samples in found if samples is not None and len(samples)]
    if len(signals) > 1 and signals[-1][0] == "clean" and np.array_equal(signals[-1][2], signals[0][2]):
        signals = signals[:-1]
    gain = common_gain([samples for _, _, samples in signals])
    top_db = max((float(levels_db(samples).max()) for _, _, samples in signals), default=0.0)
    where = in_condition(example.condition)
    figures = []
    for _, title, samples in signals:
        seconds = len(samples) / SAMPLE_RATE
        seen = spectrogram(
            samples,
            top_db,
            description=f"Spectrogram, {title.lower()}: {example.file} {where}, {seconds:.1f} seconds, 0 to 8 kHz",
        )
        heard = player(samples * gain, f"{title}: {example.file} {where}")
        figures.append(tag("figure", tag("figcaption", title), seen, heard))
    quieter = (
        paragraph(f"All of them play at {percent(gain, 0)} of their loudness, so that none clips.", look="quiet")
        if gain < 1
        else ""
    )
    heading = tag(
        "h3", f"{example.place.capitalize()}: ", tag("span", example.file, class_="file"), id=f"example-{place}"
    )
    return tag(
        "article",
        heading,
        paragraph(_said(example)),
        tag("div", *figures, class_="signals"),
        quieter,
        aria_labelledby=f"example-{place}",
    )


def _said(example: Listening) -> Html:
    """Return what was spoken, what was recognised, how surely, and the figures."""
    parts = [in_condition(example.condition)]
    parts.append(f"spoken: {example.label}" if example.label else "nobody says what was spoken")
    if example.predicted:
        sure = f" ({percent(example.confidence, 0)} sure)" if example.confidence is not None else ""
        right = "" if not example.label else ", right" if example.predicted == example.label else ", wrong"
        parts.append(f"recognised: {example.predicted}{sure}{right}")
    for name, value in example.figures.items():
        name, _, unit = name.partition(", ")
        parts.append(f"{name} {number(value, 1 if unit == 'dB' else 2)}{SPACE + unit if unit else ''}")
    return join([capital("; ".join(parts)), "."])
