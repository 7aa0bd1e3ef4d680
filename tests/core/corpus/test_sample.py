"""The sample corpus that ships: what is in it, how large it is, and that the task is neither trivial nor impossible."""

import csv
import hashlib
from collections import Counter, defaultdict
from itertools import chain
from pathlib import Path

import pytest
import soundfile

from sertool.core.corpus.sample import sample_manifest, sample_noise
from sertool.core.errors import InputError

CATEGORIES = {"anger", "happiness", "sadness", "neutral"}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with open(sample_manifest(), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def noises() -> dict[str, list[Path]]:
    return {part: sorted(sample_noise(part).rglob("*.flac")) for part in ("seen", "unseen")}


def test_every_voice_says_every_sentence_in_every_category_once(rows):
    combinations = Counter((row["speaker"], row["emotion"], row["text"]) for row in rows)
    speakers, emotions, texts = (set(values) for values in zip(*combinations, strict=True))
    assert emotions == CATEGORIES
    assert len(speakers) >= 4 and len(texts) >= 4
    assert set(combinations.values()) == {1}
    assert len(combinations) == len(speakers) * len(emotions) * len(texts)


def test_columns_and_relative_names(rows):
    assert set(rows[0]) == {"file_name", "speaker", "split", "emotion", "gender", "text"}
    assert not any(Path(row["file_name"]).is_absolute() or ".." in row["file_name"] for row in rows)


def test_no_speaker_crosses_splits_and_each_split_hears_both_sexes(rows):
    splits, genders = defaultdict(set), defaultdict(set)
    for row in rows:
        splits[row["speaker"]].add(row["split"])
        genders[row["split"]].add(row["gender"])
    assert all(len(own) == 1 for own in splits.values())
    assert set(genders) == {"train", "dev", "test"}
    assert all(heard == {"male", "female"} for heard in genders.values())


def test_every_recording_is_16_khz_mono_16_bit_and_of_its_length(rows, noises):
    speech = [sample_manifest().parent / row["file_name"] for row in rows]
    assert len(set(speech)) == len(rows)
    for path in chain(speech, *noises.values()):
        info = soundfile.info(path)
        samples, _ = soundfile.read(path)
        assert (info.samplerate, info.channels, info.format, info.subtype) == (16_000, 1, "FLAC", "PCM_16")
        assert len(samples) == info.frames and 0.5 < info.duration < 3
        assert 0.005 < abs(samples).max() < 1


def test_no_two_recordings_are_the_same(rows, noises):
    # espeak-ng ignores a variant it cannot apply, and says nothing: two of the voices would then be one.
    speech = [sample_manifest().parent / row["file_name"] for row in rows]
    everything = list(chain(speech, *noises.values()))
    digests = {hashlib.sha256(soundfile.read(path, dtype="int16")[0].tobytes()).digest() for path in everything}
    assert len(digests) == len(everything)


def test_seen_and_unseen_noise_share_no_kind_and_dev_noise_of_every_seen_kind_exists(noises):
    kinds = {part: {path.parent.name for path in paths} for part, paths in noises.items()}
    assert len(kinds["seen"]) >= 3 and len(kinds["unseen"]) >= 3
    assert not kinds["seen"] & kinds["unseen"]
    assert sum(map(len, noises.values())) >= 6
    is_dev = {path: int(hashlib.sha1(path.name.encode()).hexdigest(), 16) % 5 == 0 for path in noises["seen"]}
    for kind in kinds["seen"]:
        own = [dev for path, dev in is_dev.items() if path.parent.name == kind]
        assert any(own) and not all(own)


def test_the_corpus_is_small_and_says_where_it_comes_from():
    folder = sample_manifest().parent
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 4_000_000
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert all(word in readme for word in ("espeak-ng", "make_sample_corpus.py", "CC0", "synthetic", "no\nclaim"))


def test_another_part_of_the_noise_is_refused():
    with pytest.raises(InputError, match="expected 'seen' or 'unseen'"):
        sample_noise("heard")
