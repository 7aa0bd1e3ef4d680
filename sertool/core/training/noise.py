"""The noise a recipe names: mixers for training and for the dev split, and what a run has heard of noise and babble."""

import json
from collections.abc import Iterable
from pathlib import Path

from sertool.core.corpus.babble import BABBLE, BabbleSet
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import Mixer, SnrChoice, parse_snr
from sertool.core.corpus.noise import NoiseSet, file_digest
from sertool.core.corpus.reverberation import Reverberation, RirSet
from sertool.core.errors import InputError
from sertool.core.training.recipe import Noise, Recipe
from sertool.core.training.run import Run


def read_mixers(recipe: Recipe, notes: list[str]) -> tuple[Mixer | None, Mixer | None, tuple[float, ...]]:
    """Return what mixes noise into the training split, what mixes other noise into the dev split, and at which SNRs.

    Args:
        recipe: of the run.
        notes: what a user should know is added here.

    Returns:
        Two mixers, or None twice for a recipe without noise; SNRs of the dev split in dB, (NaN,) without noise.

    Raises:
        InputError: noise, babble or rooms cannot be used as the recipe says.
    """
    noise = recipe.noise
    if noise.source is None and noise.babble is None:
        if noise.rir is not None:
            raise InputError(
                "noise.rir names rooms, but there is no noise to mix in, and speech without noise stays dry; expected "
                "noise.source or noise.babble: name one, or leave noise.rir out"
            )
        return None, None, (float("nan"),)
    train_noise, dev_noise = (None, None) if noise.source is None else _read_recordings(noise)
    train_babble, dev_babble = (None, None) if noise.babble is None else _read_babble(noise, notes)
    train_rooms, dev_rooms = (None, None) if noise.rir is None else _read_rooms(noise, notes)
    dev_choice = parse_snr(noise.dev_snr_db)
    if not dev_choice.values:
        raise InputError(
            "noise.dev_snr_db is a range; expected fixed ratios, so that epochs compare: write for example [0, 5]"
        )
    snr, dev_snr, level = parse_snr(noise.snr_db), SnrChoice(values=dev_choice.values), noise.speech_level
    train_mixer = Mixer(train_noise, snr, recipe.seed, level, train_babble, train_rooms)
    return train_mixer, Mixer(dev_noise, dev_snr, recipe.seed, level, dev_babble, dev_rooms), dev_choice.values


def noise_identity(train: Mixer | None, dev: Mixer | None) -> dict[str, str]:
    """Return digests, by name, of all noise, babble and rooms: what must be the same for a run to go on."""
    identity = {}
    for prefix, mixer in (("", train), ("dev ", dev)):
        if mixer is not None:
            parts = {
                "noise": mixer.noise_set,
                "babble": mixer.babble,
                "rooms": mixer.reverberation and mixer.reverberation.rirs,
            }
            identity |= {prefix + name: part.digest for name, part in parts.items() if part is not None}
    return identity


def heard_noise(
    mixers: Iterable[Mixer | None], manifests: Iterable[Manifest], parent: Run | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return kinds and digests of all noise this training hears, and of what the encoder it starts from has heard.

    Babble of talkers gives its kind alone: its speech is among the audio learned from, see `babble_speech`.
    """
    kinds, recordings = set(), set()
    for mixer in mixers:
        if mixer is not None and mixer.noise_set is not None:
            kinds |= set(mixer.noise_set.kinds)
            recordings |= set(mixer.noise_set.file_digests().values())
        if mixer is not None and mixer.babble is not None:
            kinds.add(BABBLE)
    for manifest in manifests:
        if manifest.has("noise_kind"):
            kinds |= set(manifest.table["noise_kind"].dropna())
        if manifest.has("noise_file"):
            files = manifest.where(manifest.table["noise_file"].notna()).paths("noise_file")
            recordings |= {file_digest(path) for path in set(files) if path.is_file()}
    if parent is not None:
        kinds |= set(parent.noise["kinds"])
        recordings |= set(parent.noise["file_digests"])
    return tuple(sorted(kinds)), tuple(sorted(recordings))


def babble_speech(mixers: Iterable[Mixer | None], manifests: Iterable[Manifest], notes: list[str]) -> list[str]:
    """Return the files of all speech this training hears as babble, mixed here or beforehand.

    Files that mixtures were made from and that are gone are counted in a note: nobody can tell what was in them.
    """
    mixed_here = {
        str(file.path) for mixer in mixers if mixer is not None and mixer.babble for file in mixer.babble.files
    }
    mixed_before: set[Path] = set()
    for manifest in manifests:
        if manifest.has("babble_files"):
            named = {name for text in manifest.table["babble_files"].dropna() for name in _list_of(text, manifest)}
            mixed_before |= {manifest.folder / name for name in named}
    gone = [path for path in mixed_before if not path.is_file()]
    if gone:
        notes.append(
            f"{len(gone)} utterances the noisy manifests' babble was made of are gone, such as {min(gone)}: they "
            "cannot be told apart from test speech later"
        )
    return sorted(mixed_here | {str(path) for path in mixed_before if path.is_file()})


def _read_recordings(noise: Noise) -> tuple[NoiseSet, NoiseSet]:
    train = NoiseSet.read(Path(noise.source), part="train", kinds=noise.kinds)
    dev = NoiseSet.read(Path(noise.source), part="dev", kinds=noise.kinds)
    _refuse_twins(train, dev, noise.source)
    return train, dev


def _read_babble(noise: Noise, notes: list[str]) -> tuple[BabbleSet, BabbleSet]:
    """Take train and dev where the manifest has splits; keep a fifth of the utterances for dev where it has none."""
    source = Path(noise.babble)
    if Manifest.read(source).has("split"):
        train, dev = (BabbleSet.read(source, talkers=noise.talkers, split=name) for name in ("train", "dev"))
    else:
        train, dev = (BabbleSet.read(source, talkers=noise.talkers, part=name) for name in ("train", "dev"))
        notes.append(
            f"{source.name} has no splits: {len(dev)} of its {len(train) + len(dev)} utterances are kept for babble "
            "on the dev split"
        )
    _refuse_twins(train, dev, noise.babble)
    return train, dev


def _refuse_twins(train: NoiseSet | BabbleSet, dev: NoiseSet | BabbleSet, source: str) -> None:
    twins = {file.digest for file in train.files} & {file.digest for file in dev.files}
    if twins:
        named = next(file.name for file in dev.files if file.digest in twins)
        raise InputError(
            f"{source}: {len(twins)} recordings kept for dev are in training under another name, "
            f"such as {named}; expected each once: remove the copies"
        )


def _read_rooms(noise: Noise, notes: list[str]) -> tuple[Reverberation, Reverberation]:
    rirs = RirSet.read(noise.rir)
    train, dev = rirs.part("train"), rirs.part("dev")
    if train is None or dev is None:
        notes.append(f"{noise.rir}: too few rooms to keep some for dev; the dev split sounds in the rooms of training")
        train = dev = rirs
    reference = noise.clean_reference
    return Reverberation(train, noise.reverb_share, reference), Reverberation(dev, 1.0, reference)


def _list_of(text: str, manifest: Manifest) -> list[str]:
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"{manifest.name}: 'babble_files' holds {text[:60]!r}; expected a JSON list of paths: mix again with "
            "'sertool mix-noise'"
        )
    return names
