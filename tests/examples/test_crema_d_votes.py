"""The script on CREMA-D's votes: its formulas on worked examples, and its stored numbers on the real tables."""

import importlib.util
import json
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("crema_d_votes", ROOT / "examples" / "crema_d_votes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_kappa_is_fleiss_own_where_all_clips_have_as_many_raters(script):
    # Ten subjects, 14 raters, 5 categories: the usual worked example, kappa = .210.
    rows = "0 0 0 0 14,0 2 6 4 2,0 0 3 5 6,0 3 9 2 0,2 2 8 1 1,7 7 0 0 0,3 2 6 3 0,2 5 3 2 2,6 5 2 1 0,0 2 2 3 7"
    votes = np.array([[float(count) for count in row.split()] for row in rows.split(",")])
    assert script.fleiss_kappa(votes) == pytest.approx(0.210, abs=5e-4)


several = st.lists(
    st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(lambda row: sum(row) >= 2), min_size=2, max_size=6
)


@given(several)
def test_kappa_counts_the_pairs_of_raters_who_agree(script, rows):
    votes = np.array(rows, dtype=float)
    shares = votes.sum(axis=0) / votes.sum()
    if (shares**2).sum() == 1:
        return
    answers = [[category for category, count in enumerate(row) for _ in range(count)] for row in rows]
    agreeing = [np.mean([one == other for one, other in combinations(clip, 2)]) for clip in answers]
    chance = (shares**2).sum()
    assert script.fleiss_kappa(votes) == pytest.approx((np.mean(agreeing) - chance) / (1 - chance))


@given(several)
def test_entropy_is_in_bits(script, rows):
    votes = np.array(rows, dtype=float)
    expected = np.mean([entropy(row, base=2) for row in votes])
    assert script.mean_entropy_bits(votes) == pytest.approx(expected, abs=1e-12)


def test_the_stored_numbers_are_those_of_the_real_tables(script, shared_data, tmp_path, monkeypatch, capsys):
    output = tmp_path / "votes.json"
    arguments = ["crema_d_votes.py", "--labels", str(shared_data / "crema-d"), "-o", str(output)]
    monkeypatch.setattr(sys, "argv", arguments)
    script.main()
    assert "voice: 40.0% of votes, published 40.9%" in capsys.readouterr().out
    computed, stored = (json.loads(path.read_text(encoding="utf-8")) for path in (output, script.RESULTS))
    assert computed["channels"] == approximately(stored["channels"]) and computed["data"] == stored["data"]
    assert computed["notes"] == stored["notes"]
    for values in stored["channels"].values():
        assert values["summary_table"] == {"compared": 7442, "same": 7442}
        confusion = values["confusion"]
        assert sum(sum(row.values()) for row in confusion.values()) == values["votes"]
        share = values["recognition"]
        named = sum(confusion[word][word] for word in confusion)
        assert share["of_votes"] == pytest.approx(named / values["votes"])
        assert 0 < share["published"] - share["of_votes"] < 0.01


def approximately(tree):
    """Return JSON values that equal others but for the last digits of a float."""
    if isinstance(tree, dict):
        return {key: approximately(value) for key, value in tree.items()}
    return pytest.approx(tree, rel=1e-9) if isinstance(tree, float) else tree
