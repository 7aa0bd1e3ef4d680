"""Recipes: file, then flags; a misspelt key names the nearest one; stored and read back the same."""

import pytest

from sertool.core.errors import InputError
from sertool.core.training.recipe import (
    Recipe,
    known_keys,
    make_recipe,
    read_curriculum,
    read_recipe,
    read_stages,
    recipe_text,
    with_settings,
)


def test_flags_come_after_the_file_and_the_file_after_the_base(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("seed: 3\noptimisation: {epochs: 7}\n")
    base = {"tasks": ["enhancement"], "optimisation": {"epochs": 9, "batch_size": 4}}
    recipe = read_recipe(file, {"seed": 5}, base=base)
    assert (recipe.seed, recipe.optimisation.epochs, recipe.optimisation.batch_size) == (5, 7, 4)
    assert recipe.tasks == ("enhancement",)


@pytest.mark.parametrize(
    ("tree", "nearest"),
    [
        ({"sed": 1}, "seed"),
        ({"optimisation": {"epoch": 3}}, "optimisation.epochs"),
        ({"noise": {"snr": [0]}}, "noise.snr_db"),
        ({"encoder": {"compact": {"dims": 3}}}, "encoder.compact.dim"),
        ({"optimization": {"epochs": 3}}, "optimisation"),
    ],
)
def test_a_misspelt_key_names_the_nearest(tree, nearest):
    with pytest.raises(InputError, match=f"nearest known one is '{nearest}'"):
        make_recipe(tree)


@pytest.mark.parametrize(
    ("tree", "named"),
    [
        ({"optimisation": {"epochs": 0}}, r"optimisation\.epochs"),
        ({"tasks": []}, "tasks"),
        ({"seed": "x"}, "seed"),
        ({"schedule": "upwards"}, "schedule"),
        ({"schedule": [{"train": ["brain"], "epochs": 1}]}, "schedule"),
    ],
)
def test_a_value_that_does_not_fit_is_named(tree, named):
    with pytest.raises(InputError, match=named):
        make_recipe(tree)


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "42", "\x00"])
def test_what_is_no_recipe_is_refused(tmp_path, text):
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"expected|mend"):
        read_recipe(file)


def test_stored_and_read_back_the_same(tmp_path):
    recipe = make_recipe({"schedule": [{"train": ["heads"], "epochs": 2, "rate": 0.5}], "noise": {"source": "x"}})
    (tmp_path / "r.yaml").write_text(recipe_text(recipe))
    assert read_recipe(tmp_path / "r.yaml") == recipe


def test_ratios_may_be_numbers_and_a_range_is_not_a_time_of_day(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("noise: {snr_db: [-5:15], dev_snr_db: [0, 5]}\nseed: 7\n")
    recipe = read_recipe(file)
    assert (recipe.noise.snr_db, recipe.noise.dev_snr_db, recipe.seed) == (("-5:15",), ("0", "5"), 7)
    assert make_recipe({"noise": {"snr_db": -5}}).noise.snr_db == ("-5",)


def test_a_new_encoder_never_rests_at_random_unless_asked_to():
    new, learned = make_recipe({}), make_recipe({"encoder": {"name": "runs/x"}})
    assert len(new.stages()) == 1 and "front-end" in new.stages()[0].train
    assert len(learned.stages()) == 3 and all("front-end" not in stage.train for stage in learned.stages())


def test_a_schedule_is_a_word_or_a_file(tmp_path):
    file = tmp_path / "stages.yaml"
    file.write_text("- {train: [heads], epochs: 1}\n- {train: [heads, encoder-upper], epochs: 2}\n")
    assert read_stages("cascade") == "cascade"
    stages = read_recipe(None, {"schedule": read_stages(str(file))}).stages()
    assert [stage.epochs for stage in stages] == [1, 2]
    with pytest.raises(InputError, match="heads-then-all"):
        read_stages("downwards")


def test_a_curriculum_is_a_section_that_may_be_there(tmp_path):
    file = tmp_path / "r.yaml"
    assert make_recipe({}).curriculum is None
    file.write_text("curriculum: {scores: s.csv, bins: 4}\n")
    for overrides, wanted in (
        ({}, ("s.csv", "easy-first", 4)),
        ({"curriculum.bins": 5, "curriculum.order": "hard-first"}, ("s.csv", "hard-first", 5)),
    ):
        curriculum = read_recipe(file, overrides).curriculum
        assert (curriculum.scores, curriculum.order, curriculum.bins) == wanted
    assert read_recipe(file, {"curriculum": None}).curriculum is None
    stored = tmp_path / "stored.yaml"
    stored.write_text(recipe_text(read_recipe(file)))
    assert read_recipe(stored) == read_recipe(file)
    # A stored recipe without one says so in words, and may be given one.
    stored.write_text(recipe_text(make_recipe({})))
    assert read_recipe(stored, {"curriculum.order": "none"}).curriculum.order == "none"
    assert with_settings(make_recipe({}), {"curriculum.order": "none"}).curriculum.bins == 10


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"order": "anti"}, r"curriculum\.order"),
        ({"bins": 0}, r"curriculum\.bins"),
        ({"epochs_per_bin": 0}, r"curriculum\.epochs_per_bin"),
        ({"epochs_per_bin": "some"}, r"curriculum\.epochs_per_bin"),
        ({"rate_factor": 1.5}, r"curriculum\.rate_factor"),
        ({"metric": "x"}, "nearest known one is 'curriculum"),
    ],
)
def test_a_curriculum_that_cannot_be_is_named(settings, named):
    with pytest.raises(InputError, match=named):
        make_recipe({"curriculum": settings})


def test_a_word_of_a_curriculum_is_an_order_or_a_table(tmp_path):
    table = tmp_path / "none.csv"
    table.touch()
    assert read_curriculum(str(table)) == {"curriculum.scores": str(table)}
    assert read_curriculum("none") == {"curriculum.order": "none"}
    assert read_curriculum("self-paced") == {"curriculum.order": "self-paced"}
    with pytest.raises(InputError, match=r"--set curriculum\.order=hard-first"):
        read_curriculum("hard-first")
    with pytest.raises(InputError, match="is no file; expected a table of scores"):
        read_curriculum("nowhere.csv")


def test_every_setting_is_explained():
    import inspect

    from sertool.core.training import recipe as module

    source = inspect.getsource(module)
    assert len(known_keys(Recipe)) > 30
    for section in ("Data", "Noise", "Encoder", "Enhancement", "Curriculum", "Optimisation"):
        assert f'class {section}(_Section):\n    """' in source


LAUGHS = "a0: &a0 [lol]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 20))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "aliases multiply"),
        (MERGES, "merge keys multiply"),
        ("tasks: &t [*t]\n", "aliases multiply"),
        ("[" * 10_000, "is not YAML"),
        ("seed: " + "9" * 6000, "is not YAML"),
        ("seed: 2026-13-45\n", "is not YAML"),
        ("seed: 1\ndata: {max_s: 3, max_s: 4}\n", "the key 'max_s' stands there twice"),
        ("seed: !!python/object/apply:os.system ['true']\n", "is not YAML"),
        ("# " + "x" * 2_000_000, "is larger than a recipe can be"),
        ("? [a]\n: 1\n", "is not YAML"),
        ("x" * 1000 + ": 1\n", "unknown key"),
        ("noise: {snr_db: 1" + "0" * 400 + "}\n", "a ratio in dB"),
        ("optimisation: {learning_rate: .inf}\n", "learning_rate"),
        ("data: {max_s: 1e300}\n", "max_s"),
        ("enhancement: {crop_s: 1e300}\n", "crop_s"),
        ("emotion: {hidden: 1000000000}\n", "hidden"),
        ("emotion: {categories: [anger, anger]}\n", "stands there twice"),
        ("encoder: {compact: {kernel: 4}}\n", "odd"),
        ("encoder: {compact: {dim: 8192, layers: 48}}\n", "million weights; at most 500"),
        ("optimisation: {epochs: 10000000000}\n", "epochs"),
    ],
)
def test_a_hostile_recipe_is_refused_in_one_short_line(tmp_path, text, words):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_recipe(tmp_path / "r.yaml")
    assert len(str(caught.value)) < 1000


def test_an_alias_used_in_reason_is_followed(tmp_path):
    (tmp_path / "r.yaml").write_text("noise: {snr_db: &s [0, 5], dev_snr_db: *s}\n")
    assert read_recipe(tmp_path / "r.yaml").noise.dev_snr_db == ("0", "5")
