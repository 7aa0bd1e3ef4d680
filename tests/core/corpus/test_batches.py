"""Batches: every utterance once a pass, similar lengths together, the same samples whoever reads them."""

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis.strategies import floats, integers, lists

from sertool.core.audio.files import read_audio
from sertool.core.corpus.batches import (
    Augmentation,
    Pick,
    UtteranceDataset,
    Utterances,
    load_batches,
    plan_by_length,
    plan_epoch,
)
from sertool.core.corpus.mixing import Mixer, SnrChoice, measure_snr
from sertool.core.corpus.noise import NoiseSet
from sertool.core.errors import InputError

DURATIONS = lists(floats(0.1, 20), min_size=1, max_size=300)


@given(durations=DURATIONS, batch_size=integers(1, 40), seed=integers(0, 9), epoch=integers(0, 9))
def test_every_utterance_once_a_pass_in_nearly_equal_batches(durations, batch_size, seed, epoch):
    plan = plan_epoch(np.array(durations), batch_size=batch_size, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(durations)))
    sizes = [len(batch) for batch in plan]
    assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1
    assert len(plan) == -(-len(durations) // batch_size)


@given(durations=DURATIONS, batch_s=floats(1, 60))
def test_evaluation_batches_hold_so_many_seconds_with_their_padding(durations, batch_s):
    plan = plan_by_length(np.array(durations), batch_s=batch_s)
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(durations)))
    for batch in plan:
        assert len(batch) == 1 or len(batch) * max(durations[i] for i in batch) <= batch_s


def test_lengths_lie_together_and_passes_differ():
    durations = np.random.default_rng(0).uniform(1, 10, 400)
    plan = plan_epoch(durations, batch_size=10, seed=0, epoch=0)
    spread = np.mean([np.ptp(durations[batch]) for batch in plan])
    assert spread < 0.2 * np.ptp(durations)
    assert not np.array_equal(plan[0], plan_epoch(durations, batch_size=10, seed=0, epoch=1)[0])


@pytest.fixture
def dataset(tmp_path):
    generator = np.random.default_rng(1)
    paths = []
    for i, length in enumerate((16000, 9000, 4000)):
        paths.append(str(tmp_path / f"{i}.wav"))
        soundfile.write(paths[-1], 0.1 * generator.standard_normal(length), 16000, subtype="FLOAT")
    (tmp_path / "noise" / "hiss").mkdir(parents=True)
    soundfile.write(tmp_path / "noise" / "hiss" / "a.wav", 0.1 * generator.standard_normal(16000), 16000)
    utterances = Utterances(
        paths=np.array(paths),
        durations_s=np.array([1.0, 0.5625, 0.25]),
        labels=np.array([0, 1, -1]),
        attributes=np.array([[4.0], [np.nan], [2.0]], np.float32),
        vote_shares=np.array([[1.0, 0.0], [0.25, 0.75], [0.0, 0.0]], np.float32),
    )
    mixer = Mixer(NoiseSet.read(tmp_path / "noise"), SnrChoice(values=(5.0,)), 0)
    return lambda **augmentation: UtteranceDataset(utterances, mixer, Augmentation(**augmentation), 0)


def test_a_batch_is_padded_with_zeros_and_keeps_its_labels(dataset):
    data = dataset()
    batch = data.collate([data[Pick(i, 0)] for i in (2, 0, 1)])
    assert batch.lengths.tolist() == [4000, 16000, 9000]
    assert batch.labels.tolist() == [-1, 0, 1]
    assert batch.vote_shares.tolist() == [[0, 0], [1, 0], [0.25, 0.75]]
    assert not batch.noisy[0, 4000:].any() and not batch.clean[2, 9000:].any()
    np.testing.assert_array_equal(batch.clean[1].numpy(), read_audio(data.utterances.paths[0]))
    assert measure_snr(batch.noisy[1].numpy(), batch.clean[1].numpy()) == pytest.approx(5.0, abs=0.01)


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_do_not_depend_on_workers(dataset, workers):
    data = dataset(speed_change=0.2)
    plan = [[Pick(0, 3), Pick(1, 3)], [Pick(2, 3)]]
    for batch, picks in zip(load_batches(data, plan, workers=workers), plan, strict=True):
        expected = data.collate([data[pick] for pick in picks])
        assert torch.equal(batch.noisy, expected.noisy) and torch.equal(batch.crop_position, expected.crop_position)


def test_passes_hear_other_noise_and_a_named_snr_is_kept(dataset):
    data = dataset()
    first, again, second = (data[Pick(0, epoch)].noisy for epoch in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, second)
    example = data[Pick(0, 0, 12.0)]
    noisy, clean = example.noisy, example.clean
    assert measure_snr(noisy, clean) == pytest.approx(12.0, abs=0.01)
    example = data[Pick(0, 0, float("nan"))]
    noisy, clean = example.noisy, example.clean
    assert np.array_equal(noisy, clean)


def test_long_utterances_are_cut_and_speed_changes_length(dataset):
    example = dataset(max_s=0.5)[Pick(0, 0)]
    assert len(example.noisy) == len(example.clean) == 8000
    whole = read_audio(dataset().utterances.paths[0])
    lengths = {len(dataset(speed_change=0.1)[Pick(0, epoch)].clean) for epoch in range(20)}
    assert len(lengths) > 5 and all(0.89 < length / len(whole) < 1.12 for length in lengths)


def test_a_share_stays_clean(dataset):
    data = dataset(clean_share=0.3)
    clean = [np.array_equal(data[Pick(2, epoch)].noisy, data[Pick(2, epoch)].clean) for epoch in range(200)]
    assert 0.2 < np.mean(clean) < 0.4


def test_silence_is_named(dataset):
    data = dataset()
    soundfile.write(data.utterances.paths[2], np.zeros(4000), 16000)
    with pytest.raises(InputError, match=r"2\.wav: the speech is silent"):
        data[Pick(2, 0)]
