"""Babble: other speakers each time, never who speaks himself, equal levels, silence passed over."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.audio.files import read_audio, write_audio
from sertool.core.audio.speech_level import speech_level
from sertool.core.corpus.babble import TALKER_DB, BabbleSet, Talker, list_files
from sertool.core.corpus.draws import Draw
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import Mixer, measure_snr, parse_snr
from sertool.core.corpus.noise import NoiseSet
from sertool.core.errors import InputError

SPEECH = (0.1 * np.random.default_rng(5).standard_normal(30_000)).astype(np.float32)


@pytest.fixture(scope="module")
def mixer(talkers) -> Mixer:
    return Mixer(None, parse_snr(["-5:15"]), seed=3, babble=BabbleSet.read(talkers, talkers=5))


def _same(one, other) -> bool:
    return one.noisy.tobytes() == other.noisy.tobytes() and one.babble_files == other.babble_files


@settings(max_examples=30)
@given(key=st.text(max_size=12), epoch=st.integers(0, 3))
def test_every_babble_is_of_different_speakers(mixer, key, epoch):
    draw = mixer.draw(20_000, key, epoch=epoch)
    files = [mixer.babble.files[talker.utterance] for talker in draw.talkers]
    assert len({file.speaker for file in files}) == len(files) == 5
    assert mixer.draw(20_000, key, epoch=epoch) == draw and draw.noise is None


def test_who_speaks_does_not_babble_around_himself(mixer, talkers):
    for number in range(16):
        own = f"s{number // 2}/{number}.flac"
        for epoch in range(10):
            draw = mixer.draw(8000, own, epoch=epoch)
            speakers = {mixer.babble.files[talker.utterance].speaker for talker in draw.talkers}
            assert f"s{number // 2}" not in speakers


def test_all_speakers_and_utterances_are_drawn(mixer):
    drawn = [talker.utterance for n in range(200) for talker in mixer.draw(8000, f"x/{n}").talkers]
    counts = np.bincount(drawn, minlength=16)
    assert counts.min() > 35 and counts.max() < 95  # 62 or 63 each were it even


def test_babble_is_the_sum_of_talkers_at_one_level(mixer):
    babble = mixer.babble
    draw = mixer.draw(len(SPEECH), "x/1")
    for talker in draw.talkers:
        file = babble.files[talker.utterance]
        alone = babble.stretch([Talker(talker.utterance, 0)], 8000)
        # At an offset of 0 the stretch is the utterance's beginning, scaled by what its active level lacks.
        samples = read_audio(file.path)
        gain = 10 ** ((TALKER_DB - speech_level(samples).active_db) / 20)
        np.testing.assert_allclose(alone, gain * samples[:8000].astype(float), rtol=1e-6, atol=1e-12)
    parts = [babble.stretch([talker], len(SPEECH)) for talker in draw.talkers]
    np.testing.assert_allclose(babble.stretch(draw.talkers, len(SPEECH)), sum(parts), atol=1e-12)


@settings(max_examples=20)
@given(lead=st.integers(0, 40_000), offset=st.integers(0, 10_000))
def test_what_was_heard_before_does_not_change_what_is_heard(mixer, lead, offset):
    talker = [Talker(0, offset)]
    np.testing.assert_array_equal(
        mixer.babble.stretch(talker, 30_000, lead=lead)[lead + 320 :], mixer.babble.stretch(talker, 30_000)[320:]
    )


def test_the_snr_is_the_one_asked_for_and_a_draw_can_be_replayed(mixer):
    for level in ("utterance", "active"):
        other = replace(mixer, level=level)
        mixture = other.mix(SPEECH, "x/1", snr_db=-3.0)
        assert measure_snr(mixture.noisy, mixture.speech, level=level) == pytest.approx(-3.0, abs=0.01)
        assert mixture.kind == "babble" and mixture.noise_file is None and mixture.noise_offset_s is None
        assert len(mixture.babble_files) == len(mixture.babble_offsets_s) == 5
        draw = other.draw(len(SPEECH), "x/1", snr_db=-3.0)
        again = Draw(**json.loads(json.dumps(asdict(draw))))
        assert again == draw and _same(other.apply(SPEECH, again), mixture)


def test_babble_is_one_kind_among_the_others(talkers, tmp_path):
    for kind in ("rain", "wind"):
        (tmp_path / kind).mkdir()
        for number in range(3):
            samples = 0.1 * np.random.default_rng(number).standard_normal(5000)
            write_audio(tmp_path / kind / f"{number}.flac", samples, 16_000)
    noise_set = NoiseSet.read(tmp_path)
    mixer = Mixer(noise_set, parse_snr(["0"]), babble=BabbleSet.read(talkers, talkers=2))
    draws = [mixer.draw(2000, f"s/{number}") for number in range(600)]
    assert 0.27 < sum(draw.noise is None for draw in draws) / 600 < 0.4
    assert all(bool(draw.talkers) == (draw.noise is None) for draw in draws)
    # Other noise beside the babble makes other draws, and so does other babble.
    assert len({mixer.digest, Mixer(None, mixer.snr_db, babble=mixer.babble).digest, noise_set.digest}) == 3


def test_unknown_speakers_are_one_utterance_each(talkers, tmp_path):
    paths = [str(path) for path in sorted(talkers.parent.rglob("*.flac"))][:6]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name", *paths]) + "\n")
    babble = BabbleSet.read(tmp_path / "metadata.csv", talkers=6)
    assert len(babble.by_speaker) == 6
    draw = Mixer(None, parse_snr(["0"]), babble=babble).draw(5000, "elsewhere/1.wav")
    assert len({talker.utterance for talker in draw.talkers}) == 6
    with pytest.raises(InputError, match=r"only 5 who can be heard, apart from the speaker of this utterance"):
        Mixer(None, parse_snr(["0"]), babble=babble).draw(5000, "s0/0.flac")


def test_a_copy_elsewhere_is_the_same_set_and_more_talkers_are_another(talkers, tmp_path):
    for path in talkers.parent.rglob("*.flac"):
        copy = tmp_path / path.relative_to(talkers.parent)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "talkers.csv").write_bytes(talkers.read_bytes())
    assert BabbleSet.read(tmp_path / "talkers.csv").digest == BabbleSet.read(talkers).digest
    assert BabbleSet.read(talkers, talkers=3).digest != BabbleSet.read(talkers).digest


def test_parts_share_nothing_and_together_are_all(talkers):
    parts = [{file.name for file in BabbleSet.read(talkers, talkers=2, part=part).files} for part in ("train", "dev")]
    assert not parts[0] & parts[1] and parts[0] | parts[1] == {file.name for file in BabbleSet.read(talkers).files}


def _with_silent(talkers, tmp_path, names):
    rows = []
    for number, path in enumerate(sorted(talkers.parent.rglob("*.flac"))[:8]):
        rows.append(f"{path},t{number}")
    for name, samples in names.items():
        write_audio(tmp_path / name, samples, 16_000)
        rows.append(f"{tmp_path / name},{name}")
    (tmp_path / "m.csv").write_text("\n".join(["file_name,speaker", *rows]) + "\n")
    return tmp_path / "m.csv"


def test_silent_talkers_are_passed_over(talkers, tmp_path):
    click = np.zeros(8000)
    click[4000] = 0.5
    names = {"silent.flac": np.zeros(8000), "click.flac": click}
    babble = BabbleSet.read(_with_silent(talkers, tmp_path, names), talkers=7)
    mixer = Mixer(None, parse_snr(["0"]), babble=babble)
    for number in range(20):
        names = {babble.files[talker.utterance].path.name for talker in mixer.draw(20_000, f"x/{number}").talkers}
        assert len(names) == 7 and not names & {"silent.flac", "click.flac"}


def test_babble_in_which_all_pause_at_once_is_drawn_again(tmp_path):
    rows = []
    for number in range(2):  # one burst in four seconds, in either
        samples = np.zeros(64_000)
        samples[30_000:38_000] = 0.2 * np.random.default_rng(number).standard_normal(8000)
        write_audio(tmp_path / f"{number}.flac", samples, 16_000)
        rows.append(f"{number}.flac,{number}")
    (tmp_path / "m.csv").write_text("\n".join(["file_name,speaker", *rows]) + "\n")
    mixer = Mixer(None, parse_snr(["0"]), babble=BabbleSet.read(tmp_path / "m.csv", talkers=2))
    for number in range(20):
        draw = mixer.draw(2000, f"x/{number}")
        assert np.any(mixer.babble.stretch(draw.talkers, 2000))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"talkers": 9}, r"speech of 8 talkers; expected 9 or more"),
        ({"talkers": 1}, r"babble of 1 talkers; expected two or more"),
        ({"split": "train"}, r"no column 'split'"),
    ],
)
def test_too_few_talkers_and_missing_splits_are_errors(talkers, settings, told):
    with pytest.raises(InputError, match=told):
        BabbleSet.read(talkers, **settings)


def test_absent_corrupt_and_noisy_speech_are_errors(talkers, tmp_path):
    (tmp_path / "m.csv").write_text(f"file_name,speaker\n{tmp_path / 'gone.flac'},a\n")
    with pytest.raises(InputError, match=r"gone\.flac: no such recording"):
        BabbleSet.read(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text(f"file_name,clean_file\n{talkers.parent / 's0/0.flac'},x.flac\n")
    with pytest.raises(InputError, match="noisy already; expected clean speech"):
        BabbleSet.read(tmp_path / "m.csv")
    (tmp_path / "bad.flac").write_text("no audio")
    rows = [f"{tmp_path / 'bad.flac'},bad", *(f"{path},{path.stem}" for path in talkers.parent.rglob("s0/*.flac"))]
    (tmp_path / "m.csv").write_text("\n".join(["file_name,speaker", *rows]) + "\n")
    mixer = Mixer(None, parse_snr(["0"]), babble=BabbleSet.read(tmp_path / "m.csv", talkers=3))
    with pytest.raises(InputError, match=r"bad\.flac: cannot be read"):
        mixer.draw(2000, "x/1")


def test_babble_beside_recordings_of_babble_is_refused(talkers, tmp_path):
    (tmp_path / "Babble").mkdir()
    write_audio(tmp_path / "Babble" / "a.flac", 0.1 * np.random.default_rng(0).standard_normal(5000), 16_000)
    with pytest.raises(InputError, match=r"recordings of the kind 'babble', and babble of talkers"):
        Mixer(NoiseSet.read(tmp_path), parse_snr(["0"]), babble=BabbleSet.read(talkers))
    with pytest.raises(InputError, match=r"neither noise nor babble"):
        Mixer(None, parse_snr(["0"]))


def test_real_talkers(shared_data, tmp_path):
    paths = sorted((shared_data / "librispeech" / "test-other").rglob("*.flac"))
    rows = [f"{path},{path.name.split('-')[0]}" for path in paths]
    (tmp_path / "m.csv").write_text("\n".join(["file_name,speaker", *rows]) + "\n")
    mixer = Mixer(None, parse_snr(["0"]), babble=BabbleSet.read(tmp_path / "m.csv"))
    mixture = mixer.mix(SPEECH, "x/1")
    assert len({path.name.split("-")[0] for path in mixture.babble_files}) == 6
    assert measure_snr(mixture.noisy, mixture.clean) == pytest.approx(0, abs=0.01)


def test_silence_alone_is_named(tmp_path):
    for number in range(2):
        write_audio(tmp_path / f"{number}.flac", np.zeros(5000), 16_000)
    (tmp_path / "m.csv").write_text("file_name\n0.flac\n1.flac\n")
    mixer = Mixer(None, parse_snr(["0"]), babble=BabbleSet.read(tmp_path / "m.csv", talkers=2))
    with pytest.raises(InputError, match="only 0 who can be heard"):
        mixer.draw(2000, "x/1")


def test_speakers_of_one_name_in_two_corpora_are_two(talkers):
    manifest = Manifest.read(talkers)
    half = len(manifest) // 2
    names = ["a", "b"] * half
    plain = manifest.table.assign(speaker=names)
    merged = plain.assign(corpus=["one"] * half + ["two"] * half)
    counts = [
        len(BabbleSet.of(list_files(Manifest.from_table(table, manifest.folder)), talkers=2).by_speaker)
        for table in (plain, plain.assign(corpus="one"), merged)
    ]
    assert counts == [2, 2, 4]
