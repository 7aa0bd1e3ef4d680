"""Render the sample corpus that ships in sertool/data/sample: acted speech by espeak-ng, noises by arithmetic.

    python examples/make_sample_corpus.py            # needs espeak-ng; writes sertool/data/sample anew
    python examples/make_sample_corpus.py -o corpus  # or elsewhere

The voices are synthetic and the emotions are rules: an utterance's rate, pitch, pitch range, level, brightness and
pauses are drawn from normal distributions whose means depend on its category and which overlap on purpose. A plain
classifier with one voice left out gets most of the utterances right and many wrong; the script prints its accuracy.
Every draw has a fixed seed: the same espeak-ng and NumPy give the same bytes.
"""

import argparse
import csv
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, sosfilt

RATE = 16_000
SEED = 20_250
SPEECH_DB = -35  # quiet, so that FLAC packs it small; 60 dB above the 16-bit floor all the same
SAMPLE_FOLDER = Path(__file__).resolve().parents[1] / "sertool" / "data" / "sample"
CATEGORIES = ("anger", "happiness", "sadness", "neutral")
SENTENCES = (
    "The train leaves at six.",
    "It is on the table.",
    "We are out of milk.",
    "There is a letter here.",
)
BABBLE_TEXT = (
    "the shop on the corner closes early on Mondays and nobody told me about it before",
    "you could take the second road on the left and then go on until you see the bridge",
    "my brother says that the new film is longer than the book and not half as good",
    "if the weather holds we will walk along the river and have lunch in the garden",
)


@dataclass(frozen=True)
class Voice:
    """One speaker: an espeak-ng language with a variant, and where this voice's pitch and rate lie."""

    name: str
    gender: str
    split: str
    espeak: str
    pitch: int  # espeak-ng's own scale, 0 to 99
    rate: int  # words a minute


# A variant is ignored, silently, with some of espeak-ng's languages (en-gb among them): a test hears that these differ.
VOICES = (
    Voice("m1", "male", "train", "en-us+m3", pitch=45, rate=172),
    Voice("f1", "female", "train", "en-gb-scotland+f4", pitch=48, rate=180),
    Voice("m2", "male", "train", "en-gb-x-rp+m5", pitch=56, rate=165),
    Voice("f2", "female", "train", "en-us+f3", pitch=40, rate=176),
    Voice("m3", "male", "train", "en-gb-x-gbclan+m7", pitch=48, rate=168),
    Voice("f3", "female", "train", "en-us-nyc+f1", pitch=46, rate=174),
    Voice("m4", "male", "dev", "en-029+m4", pitch=52, rate=176),
    Voice("f4", "female", "dev", "en-gb-x-rp+f2", pitch=46, rate=170),
    Voice("m5", "male", "test", "en-gb-scotland+m1", pitch=50, rate=170),
    Voice("f5", "female", "test", "en-029+f1", pitch=52, rate=182),
)


@dataclass(frozen=True)
class Prosody:
    """How one utterance is spoken."""

    rate: float  # words a minute
    pitch: float  # espeak-ng's scale, 0 to 99
    pitch_range: float  # percent added to the voice's own range
    level_db: float  # RMS, dB below full scale
    brightness_db: float  # gain above 1 kHz
    gap: float  # pause between words, in units of 10 ms


SPREAD = Prosody(rate=19, pitch=7, pitch_range=30, level_db=2.8, brightness_db=2.8, gap=1.2)
"""Standard deviation of every draw, the same for all categories."""

MEANS = {
    "anger": Prosody(rate=22, pitch=7, pitch_range=20, level_db=5, brightness_db=5, gap=0),
    "happiness": Prosody(rate=12, pitch=13, pitch_range=45, level_db=1.5, brightness_db=1, gap=0),
    "sadness": Prosody(rate=-26, pitch=-9, pitch_range=-40, level_db=-4.5, brightness_db=-5, gap=1.5),
    "neutral": Prosody(rate=0, pitch=-3, pitch_range=-15, level_db=0, brightness_db=0, gap=0),
}
"""Mean of every draw, added to the voice's own pitch and rate and to SPEECH_DB."""


def draw_prosody(voice: Voice, category: str, rng: np.random.Generator) -> Prosody:
    """Draw how an utterance of a category is spoken by a voice, kept within what espeak-ng can do."""
    mean = MEANS[category]
    return Prosody(
        rate=float(np.clip(rng.normal(voice.rate + mean.rate, SPREAD.rate), 110, 260)),
        pitch=float(np.clip(rng.normal(voice.pitch + mean.pitch, SPREAD.pitch), 5, 99)),
        pitch_range=float(np.clip(rng.normal(mean.pitch_range, SPREAD.pitch_range), -85, 100)),
        level_db=float(np.clip(rng.normal(SPEECH_DB + mean.level_db, SPREAD.level_db), SPEECH_DB - 12, SPEECH_DB + 12)),
        brightness_db=float(np.clip(rng.normal(mean.brightness_db, SPREAD.brightness_db), -14, 14)),
        gap=float(np.clip(rng.normal(mean.gap, SPREAD.gap), 0, 8)),
    )


def speak(text: str, espeak_voice: str, prosody: Prosody) -> np.ndarray:
    """Return a sentence rendered by espeak-ng at 16 kHz, (S,), without the silence around it."""
    markup = f'<prosody range="{prosody.pitch_range:+.0f}%">{text}</prosody>'
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        options = {"-v": espeak_voice, "-s": round(prosody.rate), "-p": round(prosody.pitch), "-g": round(prosody.gap)}
        flat = [str(part) for option in options.items() for part in option]
        subprocess.run(["espeak-ng", *flat, "-z", "-m", "-w", str(path), markup], check=True)
        samples, rate = soundfile.read(path)
    samples = soxr.resample(samples, rate, RATE)
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    samples = samples[max(loud[0] - 800, 0) : loud[-1] + 800]
    high = sosfilt(butter(1, 1000, "high", fs=RATE, output="sos"), samples)
    samples = samples + high * (10 ** (prosody.brightness_db / 20) - 1)
    return at_level(samples, prosody.level_db)


def at_level(samples: np.ndarray, level_db: float) -> np.ndarray:
    """Scale samples to an RMS level in dB below full scale, or as near to it as a peak of 0.95 allows."""
    samples = samples * 10 ** (level_db / 20) / np.sqrt(np.mean(samples**2))
    return samples * min(1.0, 0.95 / np.abs(samples).max())


def band(samples: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    """Keep what lies between two frequencies (Butterworth, second order)."""
    return sosfilt(butter(2, (low_hz, high_hz), "band", fs=RATE, output="sos"), samples)


def glide(rng: np.random.Generator, size: int, low: float, high: float, points: int) -> np.ndarray:
    """Return a slowly wandering curve between two values, (size,)."""
    return np.interp(np.linspace(0, points - 1, size), np.arange(points), rng.uniform(low, high, points))


def tone(frequency_hz: np.ndarray, harmonics: Iterable[float]) -> np.ndarray:
    """Return a tone of a moving frequency (S,) with the amplitudes of its harmonics given."""
    phase = 2 * np.pi * np.cumsum(frequency_hz) / RATE
    return sum(gain * np.sin(order * phase) for order, gain in enumerate(harmonics, 1))


def fan(rng: np.random.Generator, size: int) -> np.ndarray:
    """A fan: a steady hum with harmonics under a rush of air."""
    hum = tone(glide(rng, size, 0.99, 1.01, 4) * rng.uniform(90, 140), rng.uniform(0.1, 1, 8) / np.arange(1, 9))
    return hum + 3 * band(rng.standard_normal(size), 80, rng.uniform(900, 2500))


def engine(rng: np.random.Generator, size: int) -> np.ndarray:
    """An engine: many harmonics of a wandering speed, stronger at every stroke."""
    speed = glide(rng, size, 28, 62, 5)
    strokes = 1 + 0.6 * tone(speed / 2, [1.0])
    return strokes * (tone(speed, rng.uniform(0.3, 1, 40)) + 2 * band(rng.standard_normal(size), 200, 3000))


def rain(rng: np.random.Generator, size: int) -> np.ndarray:
    """Rain: drops, each a short ring, over a hiss."""
    drops = rng.standard_normal(size) * (rng.random(size) < rng.uniform(0.002, 0.006)) * rng.exponential(1, size)
    return 8 * band(drops, 900, 6000) + 0.15 * band(rng.standard_normal(size), 1000, 7000)


def babble(rng: np.random.Generator, size: int) -> np.ndarray:
    """Babble: six talkers at once, none of whom speaks in the corpus."""
    talkers = ("en-us+m2", "en-us+f2", "en-us+m6", "en-us+Alicia", "en-029+m8", "en-gb-x-gbclan+f2")
    total = np.zeros(size)
    for talker in talkers:
        prosody = Prosody(rng.uniform(150, 200), rng.uniform(35, 65), 0, SPEECH_DB + rng.uniform(-3, 3), 0, 0)
        speech = speak(BABBLE_TEXT[rng.integers(len(BABBLE_TEXT))], talker, prosody)
        total += np.resize(np.roll(speech, rng.integers(len(speech))), size)
    return total


def clatter(rng: np.random.Generator, size: int) -> np.ndarray:
    """Clatter: dishes put down, each a few ringing tones."""
    ring_s = np.arange(RATE // 4) / RATE
    total = 0.03 * band(rng.standard_normal(size), 100, 4000)
    for start in rng.integers(0, size - len(ring_s), 25):
        tones = np.sin(2 * np.pi * rng.uniform(700, 6500, (4, 1)) * ring_s)
        total[start : start + len(ring_s)] += rng.uniform(0.2, 1) * tones.sum(axis=0) * np.exp(-ring_s * 40)
    return total


def beeps(rng: np.random.Generator, size: int) -> np.ndarray:
    """Beeps: a machine's tones of changing pitch, over its hum."""
    pitch = rng.uniform(400, 2400, 12).repeat(-(-size // 12))[:size]
    is_on = (rng.random(24) < 0.6).repeat(-(-size // 24))[:size]
    return is_on * tone(pitch, (1, 0.3, 0.2)) + band(rng.standard_normal(size), 60, 800)


def drill(rng: np.random.Generator, size: int) -> np.ndarray:
    """A drill: a whine that sinks when the bit bites, and its rattle."""
    speed = glide(rng, size, 170, 260, 6)
    bite = band(rng.standard_normal(size), 1500, 5500) * (1 + tone(speed / 8, [1.0])) ** 2
    return tone(speed, 1 / np.arange(1, 20)) + bite


def siren(rng: np.random.Generator, size: int) -> np.ndarray:
    """A siren: a tone swept up and down, with traffic below."""
    sweep = 900 + 400 * np.sin(2 * np.pi * rng.uniform(0.4, 1.2) * np.arange(size) / RATE + rng.uniform(0, 6))
    return tone(sweep, (1, 0.4, 0.25, 0.1)) + 1.5 * band(rng.standard_normal(size), 60, 500)


def surf(rng: np.random.Generator, size: int) -> np.ndarray:
    """Surf: noise that swells and breaks, its brightness with it."""
    swell = glide(rng, size, 0.15, 1, 7)
    return swell * band(rng.standard_normal(size), 100, 1200) + swell**3 * band(rng.standard_normal(size), 800, 6000)


Synthesiser = Callable[[np.random.Generator, int], np.ndarray]
NOISES: dict[str, dict[str, Synthesiser]] = {
    "seen": {"fan": fan, "engine": engine, "rain": rain, "babble": babble, "clatter": clatter, "beeps": beeps},
    "unseen": {"drill": drill, "siren": siren, "surf": surf},
}
NOISE_SECONDS = 2
NOISE_DB = -41


def noise_names(kind: str, part: str) -> list[str]:
    """Return the names of a kind's recordings: two; of a seen kind also a third, which is dev noise.

    Dev noise is a recording whose name's SHA-1 is 0 mod 5; the number in the name is counted up until that fits.
    """
    names = [f"{kind}-{number:02d}.flac" for number in range(1, 40)]
    is_dev = {name: int(sha1(name.encode()).hexdigest(), 16) % 5 == 0 for name in names}
    train = [name for name in names if not is_dev[name]][:2]
    return sorted(train + [name for name in names if is_dev[name]][:1]) if part == "seen" else train


def make_speech(folder: Path, voices: Iterable[Voice] = VOICES) -> list[dict[str, str]]:
    """Render every sentence in every category by every voice given; return the manifest's rows."""
    rows = []
    for voice in voices:
        place = folder / "speech" / voice.name
        place.mkdir(parents=True, exist_ok=True)
        for category_index, category in enumerate(CATEGORIES):
            for sentence_index, text in enumerate(SENTENCES):
                rng = np.random.default_rng([SEED, VOICES.index(voice), category_index, sentence_index])
                samples = speak(text, voice.espeak, draw_prosody(voice, category, rng))
                path = place / f"{voice.name}_{category}_{sentence_index + 1}.flac"
                soundfile.write(path, samples, RATE, subtype="PCM_16", compression_level=1.0)
                name = path.relative_to(folder).as_posix()
                row = {"file_name": name, "speaker": voice.name, "split": voice.split, "emotion": category}
                rows.append(row | {"gender": voice.gender, "text": text})
    return rows


def make_noise(folder: Path) -> None:
    """Synthesise the noises: folder/noise/seen|unseen/<kind>/*.flac."""
    for part_index, (part, kinds) in enumerate(NOISES.items()):
        for kind_index, (kind, synthesise) in enumerate(kinds.items()):
            place = folder / "noise" / part / kind
            place.mkdir(parents=True, exist_ok=True)
            for number, name in enumerate(noise_names(kind, part)):
                rng = np.random.default_rng([SEED, 1_000 + part_index, kind_index, number])
                samples = at_level(synthesise(rng, NOISE_SECONDS * RATE), NOISE_DB)
                soundfile.write(place / name, samples, RATE, subtype="PCM_16", compression_level=1.0)


def functionals(samples: np.ndarray) -> np.ndarray:
    """Return plain functionals of an utterance (S,): duration, level, pitch, mean and spread of 20 log bands."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 800)[::320]  # (T, 800): 50 ms every 20 ms
    frames = frames[np.sqrt((frames**2).mean(axis=1)) > 0.1 * np.sqrt((samples**2).mean())]
    power = np.abs(np.fft.rfft(frames * np.hanning(800), 1024)) ** 2  # (T, 513)
    correlation = np.fft.irfft(power)[:, : RATE // 60]  # (T, lags)
    lags = np.arange(RATE // 400, RATE // 60)
    pitch = np.log2(RATE / lags[correlation[:, lags].argmax(axis=1)])
    edges = np.geomspace(4, 512, 21).astype(int)
    bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-8)  # (T, 20)
    level = np.log((frames**2).mean(axis=1) + 1e-10)
    shape = bands - bands.mean(axis=1, keepdims=True)
    scalars = [len(samples) / RATE, level.mean(), level.std(), np.median(pitch), *np.percentile(pitch, (10, 90))]
    return np.concatenate([scalars, shape.mean(axis=0), shape.std(axis=0)])


def leave_one_voice_out(folder: Path) -> dict[str, float]:
    """Return, for every voice, the accuracy of an SVM on plain functionals trained on all the other voices."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    with open(folder / "metadata.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    features = np.stack([functionals(soundfile.read(folder / row["file_name"])[0]) for row in rows])
    emotions = np.array([row["emotion"] for row in rows])
    speakers = np.array([row["speaker"] for row in rows])
    accuracy = {}
    for speaker in sorted(set(speakers)):
        test = speakers == speaker
        classifier = make_pipeline(StandardScaler(), SVC(C=1.0)).fit(features[~test], emotions[~test])
        accuracy[speaker] = float(classifier.score(features[test], emotions[test]))
    return accuracy


def main() -> None:
    """Write the corpus and print what it is worth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=SAMPLE_FOLDER, help="where to write")
    folder = parser.parse_args().output
    for old in ("speech", "noise"):
        shutil.rmtree(folder / old, ignore_errors=True)
    rows = make_speech(folder)
    with open(folder / "metadata.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    make_noise(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    accuracy = leave_one_voice_out(folder)
    print(f"{folder}: {len(rows)} utterances, {size / 1e6:.2f} MB")
    print("SVM, one voice left out:", ", ".join(f"{name} {value:.0%}" for name, value in accuracy.items()))
    print(f"mean {np.mean(list(accuracy.values())):.1%} of {len(rows)} utterances; chance {1 / len(CATEGORIES):.0%}")


if __name__ == "__main__":
    main()
