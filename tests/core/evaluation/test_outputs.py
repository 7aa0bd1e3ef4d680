"""What an evaluation leaves: each file by its suffix, from one document, and a report with speech to listen to."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from sertool.core.errors import InputError
from sertool.core.evaluation.by_snr import prepare_evaluation
from sertool.core.evaluation.listen_again import listen_again
from sertool.core.evaluation.outputs import write_output, write_page
from sertool.core.models.inference import load


@pytest.fixture
def evaluated(corpus, noise, run, protocol):
    evaluation = prepare_evaluation(corpus, run, protocol(noise, ("clean", "10", "0"), measures=("stoi", "si_sdr")))
    return evaluation, evaluation.run()


def test_json_csv_and_latex_say_the_same(evaluated, tmp_path):
    _, results = evaluated
    for suffix in ("json", "csv", "tex"):
        write_output(tmp_path / f"out.{suffix}", results, ["sertool", "evaluate"])
    document = json.loads((tmp_path / "out.json").read_text())
    table = pd.read_csv(tmp_path / "out.csv")
    assert document == json.loads(json.dumps(results.document(command=["sertool", "evaluate"])))
    assert list(table["condition"]) == [one["condition"] for one in document["conditions"]]
    assert table["f1_macro"].tolist() == pytest.approx([one["f1_macro"] for one in document["conditions"]])
    assert r"\begin{tabular}" in (tmp_path / "out.tex").read_text()
    with pytest.raises(InputError, match=r"\.json, \.csv or \.tex"):
        write_output(tmp_path / "out.xlsx", results, [])


def test_what_is_heard_again_is_what_was_judged(evaluated):
    evaluation, results = evaluated
    examples, by = listen_again(evaluation, results)
    assert "SI-SDR" in by
    assert [one.place for one in examples] == ["best", "median", "worst"]
    recognizer = load(evaluation.system.model, "cpu")
    for one in examples:
        assert one.condition == "0 dB"
        part = results.table[results.table["condition"] == "0 dB"].set_index("file").loc[one.file]
        snr_db = 10 * np.log10(np.sum(one.clean**2) / np.sum((one.noisy - one.clean) ** 2))
        assert snr_db == pytest.approx(0.0, abs=0.05)
        assert recognizer.predict(one.noisy, 16_000).label == one.predicted == part["predicted"]
        assert np.array_equal(one.enhanced, recognizer.enhance(one.noisy, 16_000))
        assert one.figures["SI-SDR after, dB"] == part["enhanced_si_sdr"]


def test_the_page_stands_by_itself(evaluated, tmp_path):
    evaluation, results = evaluated
    write_page(tmp_path / "report.html", results, ["sertool", "evaluate"], evaluation)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.lstrip().lower().startswith("<!doctype html>") and text.count("<audio") >= 3
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert io.StringIO(text).readline()
