"""Spectrograms: the picture as PNG, its axes as SVG, so that they are readable at any size, in light and in dark."""

import base64
import io

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.audio.spectra import HOP, N_FFT
from sertool.core.evaluation.report.markup import Html, join, tag

RANGE_DB = 70.0
"""From the loudest point of the mixture down to what is drawn as silence."""

SHADES = 40
"""Steps of colour; so few make the picture small, and nobody sees them."""

MOST_COLUMNS = 320

PICTURE_WIDTH, PICTURE_HEIGHT, LEFT, BOTTOM, TOP = 300, 130, 40, 36, 6

MAP = "magma"
"""Even in lightness, and told apart by people who confuse red and green."""


def levels_db(samples: np.ndarray) -> np.ndarray:
    """Return the level in dB of each bin and frame (F, T), 25 ms windows every 10 ms, any reference.

    Args:
        samples: (S,) at 16 kHz; shorter than a window, it is continued by silence.
    """
    padded = np.pad(np.asarray(samples, dtype=np.float64), (0, max(0, N_FFT - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP] * np.hanning(N_FFT)
    power = np.abs(np.fft.rfft(frames, axis=1).T) ** 2
    return 10 * np.log10(power + 1e-12)


def spectrogram(samples: np.ndarray, top_db: float, *, description: str) -> Html:
    """Return a spectrogram with its axes.

    Args:
        samples: (S,) at 16 kHz.
        top_db: the level, see `levels_db`, drawn brightest: the same for all pictures that are compared.
        description: what a screen reader says of it.
    """
    source = base64.b64encode(_png(levels_db(samples), top_db)).decode("ascii")
    picture = tag(
        "image",
        href=f"data:image/png;base64,{source}",
        x=LEFT,
        y=TOP,
        width=PICTURE_WIDTH,
        height=PICTURE_HEIGHT,
        preserveAspectRatio="none",
    )
    width, height = LEFT + PICTURE_WIDTH + 12, TOP + PICTURE_HEIGHT + BOTTOM
    return tag(
        "svg",
        picture,
        _axes(len(samples) / SAMPLE_RATE),
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=description,
        class_="chart spectrogram",
    )


def _png(levels: np.ndarray, top_db: float) -> bytes:
    # Without pyplot, whose figures and backend are global.
    from matplotlib.image import imsave

    step = -(-levels.shape[1] // MOST_COLUMNS)
    kept = levels[:, : levels.shape[1] // step * step].reshape(len(levels), -1, step).max(2)
    shade = np.clip((kept - top_db) / RANGE_DB + 1.0, 0.0, 1.0)
    buffer = io.BytesIO()
    imsave(
        buffer,
        np.round(shade * SHADES) / SHADES,
        cmap=MAP,
        vmin=0,
        vmax=1,
        origin="lower",
        format="png",
        metadata={"Software": None},
    )
    return buffer.getvalue()


def _axes(duration_s: float) -> Html:
    parts = []
    for kilohertz in (0, 2, 4, 6, 8):
        y = TOP + PICTURE_HEIGHT * (1 - kilohertz / 8)
        parts.append(tag("path", d=f"M{LEFT - 4} {y:.1f}h4", class_="tick"))
        parts.append(tag("text", str(kilohertz), x=float(LEFT - 7), y=y + 4, text_anchor="end"))
    step = next((step for step in (0.1, 0.25, 0.5, 1.0, 2.0) if duration_s / step <= 5), 5.0)
    for place in range(int(duration_s / step + 1e-6) + 1):
        x = LEFT + PICTURE_WIDTH * place * step / max(duration_s, 1e-9)
        parts.append(tag("path", d=f"M{x:.1f} {TOP + PICTURE_HEIGHT}v4", class_="tick"))
        parts.append(tag("text", f"{place * step:g}", x=x, y=TOP + PICTURE_HEIGHT + 17.0, text_anchor="middle"))
    middle = TOP + PICTURE_HEIGHT / 2
    parts.append(tag("text", "kHz", transform=f"translate(11 {middle:g}) rotate(-90)", text_anchor="middle"))
    across = LEFT + PICTURE_WIDTH / 2
    parts.append(tag("text", "seconds", x=across, y=TOP + PICTURE_HEIGHT + 33.0, text_anchor="middle"))
    return join(parts)
