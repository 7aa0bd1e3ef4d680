"""The page about a curriculum: what stands on it."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sertool.core.corpus.manifest import Manifest
from sertool.core.curriculum.page import draw_page, label_groups, page_figure
from sertool.core.curriculum.request import ScoreRequest
from sertool.core.curriculum.scoring import ScoredSplit, score


def curriculum(count: int = 50, **columns) -> ScoredSplit:
    votes = np.random.default_rng(0).integers(1, 4, (count, 2))
    table = pd.DataFrame(
        {
            "file_name": [f"speaker/{number:03d}.wav" for number in range(count)],
            "emotion": ["anger", "calm"] * (count // 2),
            "votes_anger": votes[:, 0],
            "votes_calm": votes[:, 1],
        }
    )
    for name, values in columns.items():
        table[name] = values
    return score(Manifest.from_table(table, "."), ScoreRequest(metric="disagreement", bins=5))


@pytest.fixture(scope="module")
def drawn():
    made = curriculum(valence=np.linspace(1, 7, 50))
    return made, page_figure(made)


def all_axes(figure) -> list:
    return [axes for part in figure.subfigs for axes in part.get_axes()]


def test_the_easiest_and_hardest_are_named(drawn):
    made, figure = drawn
    easiest, hardest = all_axes(figure)[-2:]
    names = made.scored.table["file_name"].str.removeprefix("speaker/").tolist()
    assert [text.get_text() for text in easiest.texts[3::3]] == names[:20]
    assert [text.get_text() for text in hardest.texts[3::3]] == names[:-21:-1]
    assert easiest.texts[4].get_text() == made.scored.table["emotion"].iloc[0]
    assert float(hardest.texts[5].get_text()) == pytest.approx(made.scored.table["score"].iloc[-1], rel=1e-3)


def test_the_title_counts_utterances_and_distinct_scores(drawn):
    made, figure = drawn
    values, counts = np.unique(made.scored.table["score"], return_counts=True)
    title = figure.get_suptitle()
    assert title.startswith("disagreement for emotion\n")
    assert f"50 utterances, {len(values)} distinct scores, at most {counts.max()} alike; seed 0" in title


def test_every_utterance_is_in_the_histogram_and_every_bin_border_is_drawn(drawn):
    made, figure = drawn
    histogram, by_rank = all_axes(figure)[:2]
    assert sum(bar.get_height() for bar in histogram.patches) == 50
    borders = [line for line in by_rank.lines if len(line.get_xdata()) == 2]
    assert [line.get_xdata()[0] for line in borders] == [9.5, 19.5, 29.5, 39.5]
    assert (by_rank.lines[-1].get_ydata() == made.scored.table["score"]).all()


def test_each_label_there_is_has_its_groups(drawn):
    made, figure = drawn
    emotion, valence = all_axes(figure)[2:4]
    assert [axes.get_title() for axes in (emotion, valence)] == ["by emotion", "by valence"]
    assert [tick.get_text() for tick in emotion.get_xticklabels()] == ["anger\n25", "calm\n25"]
    assert len(valence.get_xticklabels()) == 6
    shown = emotion.collections[0].get_offsets()[:, 1]
    own = made.scored.table["score"][made.scored.table["emotion"] == "anger"]
    assert sorted(shown) == sorted(own)


def test_attributes_made_from_the_category_are_called_so():
    made = curriculum(arousal=5.0, attributes_source="derived from the category (Russell & Mehrabian 1977)")
    assert [axes.get_title() for axes in all_axes(page_figure(made))[2:4]] == ["by emotion", "by arousal (derived)"]


def test_the_ten_most_frequent_categories_are_told_apart():
    words = [f"word {number}" for number in range(12) for _ in range(number + 1)]
    table = pd.DataFrame({"file_name": [f"{row}.wav" for row in range(len(words) + 1)], "emotion": [*words, None]})
    classes, codes = label_groups(Manifest.from_table(table, "."), "emotion")
    assert len(classes) == 10 and not {"word 0", "word 1"} & set(classes)
    assert (codes == -1).sum() == 1 + 2 + 1
    assert [classes[code] for code in codes[3:78]] == words[3:]


def test_the_same_curriculum_is_the_same_picture_whatever_files_are_called(tmp_path):
    odd = [f"folder/日本 $\\frac$ {number:03d} {'long ' * 12}.wav" for number in range(50)]
    made = curriculum(file_name=odd, emotion=["$x", None] * 25)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_page(tmp_path / "one.png", made)
    draw_page(tmp_path / "two.png", made)
    one = (tmp_path / "one.png").read_bytes()
    assert one[:8] == b"\x89PNG\r\n\x1a\n" and one == (tmp_path / "two.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png"]
