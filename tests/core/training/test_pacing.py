"""The pacing of a curriculum: the published one by hand, and what holds of every other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.corpus.batches import plan_epoch
from sertool.core.errors import InputError
from sertool.core.training.pacing import Pacing, cut_bins, make_pacing
from sertool.core.training.recipe import make_recipe
from sertool.core.training.scores import Scores

PUBLISHED = {"bins": 10, "epochs_per_bin": 5, "rate_factor": 0.5}


def scores_of(order):
    return Scores(np.array(order), "deepmi", "emotion", 0)


def pacing_for(order, /, *, epochs=70, seed=0, **curriculum):
    recipe = make_recipe({"seed": seed, "curriculum": curriculum, "optimisation": {"epochs": epochs}})
    return make_pacing(recipe, len(order), scores_of(order))


@st.composite
def curricula(draw, **fixed):
    """Draw an order of utterances, settings, and how many epochs there are."""
    order = draw(st.permutations(range(draw(st.integers(1, 40)))))
    bins, per_bin = draw(st.integers(1, len(order))), draw(st.integers(1, 4))
    epochs = (bins - 1) * per_bin + draw(st.integers(1, 5))
    return order, {"bins": bins, "epochs_per_bin": per_bin, "epochs": epochs, **fixed}


def test_the_published_pacing():
    order = np.random.default_rng(0).permutation(100)
    pacing = pacing_for(order, **PUBLISHED)
    for epoch in range(70):
        bins = {0: 1, 4: 1, 5: 2, 9: 2, 10: 3, 44: 9, 45: 10, 69: 10}.get(epoch, min(epoch // 5, 9) + 1)
        assert set(pacing.members(epoch)) == set(order[: 10 * bins])
        assert 1e-3 * pacing.rate(epoch) == pytest.approx(1e-3 * 0.5 ** (bins - 1))
    assert pacing.update_starts(70, batch_size=32, parts=1)[::5] == [
        *(0, 5, 10, 15, 25, 35, 45, 60, 75, 90),  # 10 to 30, 40 to 60, 70 to 90 and 100 utterances: 1 to 4 batches
        *(110, 130, 150, 170, 190),
    ]


@settings(max_examples=30)
@given(curricula())
def test_each_utterance_is_in_one_bin_and_bins_are_as_equal_as_can_be(case):
    order, chosen = case
    pacing = pacing_for(order, **chosen)
    sizes = np.bincount(pacing.bin_of, minlength=chosen["bins"] + 1)[1:]
    assert sizes.sum() == len(order) and sizes.max() - sizes.min() <= 1 and pacing.bin_of.min() == 1
    # In the order they are to come in, bins never fall.
    assert (np.diff(pacing.bin_of[list(order)]) >= 0).all()


@settings(max_examples=30)
@given(curricula())
def test_bins_stay_once_they_came_in_and_in_the_end_all_are_there(case):
    order, chosen = case
    pacing = pacing_for(order, **chosen)
    before: set[int] = set()
    for epoch in range(chosen["epochs"]):
        members = pacing.members(epoch)
        assert before <= set(members) and len(members) == pacing.size(epoch) and (np.diff(members) > 0).all()
        assert pacing.bin_start(epoch) <= epoch
        assert pacing.bins_in_play(pacing.bin_start(epoch)) == pacing.bins_in_play(epoch)
        before = set(members)
    assert len(before) == len(order)


@settings(max_examples=30)
@given(curricula())
def test_hard_first_is_easy_first_of_the_reversed_order(case):
    order, chosen = case
    hard = pacing_for(order, order="hard-first", **chosen)
    assert (hard.bin_of == pacing_for(order[::-1], **chosen).bin_of).all()
    assert order[-1] in hard.members(0)


@settings(max_examples=30)
@given(curricula(), st.integers(0, 5))
def test_none_draws_as_many_anew_in_each_epoch(case, seed):
    order, chosen = case
    easy = pacing_for(order, **chosen)
    none, again = (pacing_for(order, order="none", seed=seed, **chosen) for _ in range(2))
    for epoch in range(chosen["epochs"]):
        members = none.members(epoch)
        assert len(members) == len(set(members)) == easy.size(epoch) and set(members) <= set(order)
        assert (members == again.members(epoch)).all() and none.rate(epoch) == easy.rate(epoch)
    assert len(none.members(chosen["epochs"] - 1)) == len(order)


def test_none_covers_the_split_long_before_all_are_in_play_at_once():
    pacing = pacing_for(range(100), order="none", **PUBLISHED)
    drawn = np.bincount(np.concatenate([pacing.members(epoch) for epoch in range(45)]), minlength=100)
    # Each is drawn 22.5 times in the mean; of cumulative bins the last would not have come in at all.
    assert drawn.sum() == 2250 and drawn.min() > 10 and drawn.max() < 35


@settings(max_examples=30)
@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=60), st.integers(1, 7), st.integers(0, 30), st.data())
def test_the_batches_of_an_epoch_are_its_members(durations, batch_size, epoch, data):
    durations = np.array(durations)
    bins = data.draw(st.integers(1, len(durations)))
    order = np.array(data.draw(st.permutations(range(len(durations)))))
    pacing = Pacing(cut_bins(order, bins), num_bins=bins, epochs_per_bin=2)
    plan = pacing.plan(durations, batch_size=batch_size, seed=1, epoch=epoch)
    assert sorted(np.concatenate(plan)) == list(pacing.members(epoch))
    starts = pacing.update_starts(epoch + 1, batch_size=batch_size, parts=1)
    assert starts[-1] - starts[-2] == len(plan)


def test_batches_are_of_similar_length():
    generator = np.random.default_rng(0)
    durations, order = generator.uniform(1, 9, 60), generator.permutation(60)
    pacing = pacing_for(order, bins=3)
    plan = pacing.plan(durations, batch_size=5, seed=0, epoch=0)
    assert len(plan) == 4 and all((np.diff(durations[batch]) >= 0).all() for batch in plan)
    by_length = durations[np.concatenate(sorted(plan, key=lambda batch: durations[batch[0]]))]
    assert (np.diff(by_length) >= 0).all()


def test_without_a_curriculum_every_epoch_is_what_it_was():
    durations = np.random.default_rng(0).uniform(1, 9, 50)
    pacing = make_pacing(make_recipe({}), 50, None)
    for epoch in (0, 1, 29):
        plan = pacing.plan(durations, batch_size=8, seed=3, epoch=epoch)
        for found, wanted in zip(plan, plan_epoch(durations, batch_size=8, seed=3, epoch=epoch), strict=True):
            assert (found == wanted).all()
        assert pacing.rate(epoch) == 1.0
    assert pacing.update_starts(30, batch_size=8, parts=1) == list(range(0, 211, 7))


def test_a_self_paced_run_begins_with_a_bin_at_random():
    first, again, other = (
        make_pacing(make_recipe({"seed": seed, "curriculum": {"order": "self-paced"}}), 50, None).members(0)
        for seed in (0, 0, 1)
    )
    assert (first == again).all() and len(first) == 5 and not (first == other).all()


@pytest.mark.parametrize(("epochs", "bins", "wanted"), [(70, 10, 5), (30, 10, 2), (10, 10, 1), (70, 2, 45), (9, 1, 5)])
def test_auto_keeps_the_published_proportion(epochs, bins, wanted):
    assert pacing_for(range(50), epochs=epochs, bins=bins).epochs_per_bin == wanted


@pytest.mark.parametrize(
    ("utterances", "epochs", "chosen", "words"),
    [
        (9, 70, {}, "bins is 10 and there are 9 training utterances"),
        (50, 45, PUBLISHED, "last of 10 bins comes in after 45 epochs, and the run has 45"),
        (50, 9, {}, "comes in after 9 epochs"),
    ],
)
def test_a_pacing_that_cannot_be_is_refused(utterances, epochs, chosen, words):
    with pytest.raises(InputError, match=words):
        pacing_for(range(utterances), epochs=epochs, **chosen)


def test_a_batch_too_small_to_be_cut_is_named_before_it_comes():
    pacing = pacing_for(range(20), epochs=70, bins=10)
    assert pacing.update_starts(70, batch_size=8, parts=2)
    with pytest.raises(InputError, match="a batch of 2 utterances cannot be cut for 3 processes"):
        pacing.update_starts(70, batch_size=8, parts=3)
    # It need not be one of the first: 4 utterances make a batch of 4, and 7 one of 4 and one of 3.
    with pytest.raises(InputError, match="a batch of 3 "):
        pacing_for(range(7), epochs=70, bins=2).update_starts(70, batch_size=4, parts=4)
