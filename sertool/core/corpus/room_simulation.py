"""Simulated rooms: boxes of drawn size and reverberation time, by the image source method (Allen & Berkley, JASA 1979).

`pyroomacoustics` does the computing; it is an extra, since only simulating rooms needs it.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.audio.reverberation_time import reverberation_time
from sertool.core.errors import InputError
from sertool.core.randomness import generator_for

PLACES = ("speech", "noise-1", "noise-2")
"""Where sound comes from in every room; there is one microphone."""

SIZES_M = ((3.0, 10.0), (3.0, 8.0), (2.4, 4.0))
"""Least and greatest length, width and height of a room, in metres, drawn uniformly."""

HEIGHTS_M = (0.8, 1.9)
"""Least and greatest height of sources and microphone above the floor, in metres: sitting or standing people."""

WALL_M = 0.5
"""Least distance of every source and of the microphone from each wall, in metres."""

APART_M = 0.75
"""Least distance of sources and microphone from one another, in metres."""

RT60_LIMITS_S = (0.1, 1.2)
"""Reverberation times that can be asked for, in seconds."""

MOST_REFLECTIONS = 80
"""Reflections a sound is followed through. More would matter only for what is left 25 dB and more down in small rooms
with long reverberation, and takes time with its third power."""

MOST_ABSORPTION = 0.95
"""Largest share of the energy walls may absorb; where Sabine's formula asks for more, another size is drawn."""

CORRECTIONS = 2
"""Times the absorption is corrected at most to come closer to the reverberation time asked for."""

CLOSE_ENOUGH = 0.05
"""Share by which the time measured may miss the time asked for without another correction."""

TAIL_ENERGY = 1e-6
"""A response ends where no more than this share of its energy (-60 dB) is still to come."""


@dataclass(frozen=True)
class Room:
    """A room to simulate.

    Attributes:
        size_m: length, width and height.
        rt60_s: reverberation time asked for.
        microphone_m: where the microphone is.
        sources_m: where sound comes from, by place.
    """

    size_m: tuple[float, float, float]
    rt60_s: float
    microphone_m: tuple[float, float, float]
    sources_m: dict[str, tuple[float, float, float]]

    def distance_m(self, place: str) -> float:
        """Return how far a place is from the microphone."""
        return float(np.linalg.norm(np.subtract(self.sources_m[place], self.microphone_m)))

    @property
    def sabine_absorption(self) -> float:
        """Share of the energy every wall would absorb by Sabine's formula (ISO 354: 55.3 V / c S T, c = 343 m/s)."""
        length, width, height = self.size_m
        surface = 2.0 * (length * width + length * height + width * height)
        return 55.26 * length * width * height / (343.0 * surface * self.rt60_s)


def draw_room(index: int, *, seed: int, rt60_s: tuple[float, float]) -> Room:
    """Draw one room: a pure function of seed, index and the range of reverberation times.

    Args:
        index: number of the room, from 0.
        seed: of the draws.
        rt60_s: least and greatest reverberation time in seconds, drawn from uniformly.

    Raises:
        InputError: the range is upside down or outside what can be simulated.
    """
    low, high = rt60_s
    if not RT60_LIMITS_S[0] <= low <= high <= RT60_LIMITS_S[1]:
        raise InputError(
            f"reverberation times from {low:g} to {high:g} s cannot be simulated; expected a range within "
            f"{RT60_LIMITS_S[0]:g}:{RT60_LIMITS_S[1]:g}, such as 0.2:0.8: correct it"
        )
    generator = generator_for("simulated room", seed, index)
    time_s = float(generator.uniform(low, high))
    while True:
        size = tuple(float(generator.uniform(*ends)) for ends in SIZES_M)
        points = [_point(generator, size) for _ in range(1 + len(PLACES))]
        room = Room(size, time_s, points[0], dict(zip(PLACES, points[1:], strict=True)))
        apart = min(np.linalg.norm(np.subtract(one, other)) for one, other in itertools.combinations(points, 2))
        if apart >= APART_M and room.sabine_absorption <= MOST_ABSORPTION:
            return room


def simulate_room(room: Room) -> dict[str, np.ndarray]:
    """Return the impulse response from every place of a room to its microphone, float32 at 16 kHz, (N,) each.

    Sabine's formula takes for granted that sound comes from everywhere alike, which it does not in a long or flat box.
    So the absorption it gives is corrected by the reverberation time measured, twice at most. The same samples come out
    whatever the number of cores.

    Raises:
        InputError: pyroomacoustics is not installed.
    """
    absorption = room.sabine_absorption
    responses = _responses(room, absorption)
    for _ in range(CORRECTIONS):
        measured_s = np.mean([reverberation_time(response, SAMPLE_RATE) for response in responses.values()])
        if abs(measured_s / room.rt60_s - 1.0) <= CLOSE_ENOUGH:
            break
        absorption = min(MOST_ABSORPTION, absorption * float(measured_s) / room.rt60_s)
        responses = _responses(room, absorption)
    return responses


def _responses(room: Room, absorption: float) -> dict[str, np.ndarray]:
    acoustics = _pyroomacoustics()
    # The reflections heard until the energy has fallen by 60 dB, along the room's two shorter sides.
    shorter, longer = sorted(room.size_m)[:2]
    reflections = math.ceil(343.0 * room.rt60_s * math.hypot(shorter, longer) / (shorter * longer))
    box = acoustics.ShoeBox(
        room.size_m,
        fs=SAMPLE_RATE,
        materials=acoustics.Material(absorption),
        max_order=min(reflections, MOST_REFLECTIONS),
    )
    for place in PLACES:
        box.add_source(room.sources_m[place])
    box.add_microphone(room.microphone_m)
    box.compute_rir()
    return {place: _without_tail(np.asarray(box.rir[0][number])) for number, place in enumerate(PLACES)}


def simulator_version() -> str:
    """Return the version of pyroomacoustics.

    Raises:
        InputError: it is not installed.
    """
    return str(_pyroomacoustics().__version__)


def _point(generator: np.random.Generator, size_m: tuple[float, ...]) -> tuple[float, float, float]:
    across = [float(generator.uniform(WALL_M, side - WALL_M)) for side in size_m[:2]]
    return across[0], across[1], float(generator.uniform(*HEIGHTS_M))


def _without_tail(response: np.ndarray) -> np.ndarray:
    remaining = np.cumsum(np.square(response)[::-1])[::-1]
    return response[remaining > TAIL_ENERGY * remaining[0]].astype(np.float32)


def _pyroomacoustics() -> Any:
    try:
        import pyroomacoustics
    except ImportError as error:
        raise InputError(
            "pyroomacoustics is not installed, which simulating rooms needs: pip install 'sertool[rooms]'"
        ) from error
    # Threads share the sums, whose last bits would depend on how many there are.
    pyroomacoustics.constants.set("num_threads", 1)
    return pyroomacoustics
