"""The conditions as CSV and LaTeX: the document's numbers, in columns that never change, and text that is only text."""

import csv
import io
import re
import shutil
import subprocess

import pytest

from sertool.core.evaluation.scores import MEASURE_NAMES
from sertool.core.evaluation.tables import COLUMNS, as_csv, as_latex

SPECIAL = r"50%_of $x^2$ & {more} #1 ~\input{secret} <a|b> \"q\""


def scored(mean, n=4):
    return {"mean": mean, "n": n, "unscored": {}}


def condition(name, snr_db, **more):
    return {"condition": name, "snr_db": snr_db, "noise_kind": None, "n": 5, "n_labelled": 4} | more


def document(**more) -> dict:
    clean = condition("clean", None, f1_macro=0.5, ua=0.25, f1_micro=0.75, ccc={"arousal": 0.1, "valence": None})
    noisy = condition("-5 dB", -5.0, f1_macro=0.1234, ua=0.2, f1_micro=0.3, ccc={"arousal": -0.02, "valence": None})
    noisy["intervals"] = {"speakers": 9, "level": 0.95, "f1_macro": [0.1, 0.15], "ua": None, "reason": None}
    noisy["calibration"] = {"n": 4, "ece": 0.1, "mce": 0.2, "brier": 0.3, "bins": []}
    noisy["agreement"] = {"n": 4, "share": 0.9, "kappa": 0.8}
    noisy["selective"] = {"coverage": [1.0], "accuracy": [0.5], "aurc": 0.4}
    noisy["speech"] = {
        "pesq_wb": {"unprocessed": scored(1.204, 5), "enhanced": scored(1.5), "difference": scored(0.29, 3)},
        "si_sdr": {"unprocessed": scored(-5.04), "enhanced": scored(None, 0), "difference": scored(None, 0)},
    }
    compared = {"condition": "-5 dB", "ours": 0.1234, "theirs": 0.1, "difference": 0.0234, "interval": [0.0, 0.05]}
    compared |= {"p": 0.01, "p_holm": 0.02, "verdict": "better"}
    return {
        "system": {"kind": "run", "name": "joint"},
        "model": {"name": "model"},
        "data": {"utterances": 5, "speakers": 2},
        "seen_utterances": 0,
        "conditions": [clean, noisy],
        "by_kind": [noisy | {"noise_kind": 'rain, "heavy"'}],
        "comparison": {"baseline": "other", "conditions": [compared]},
    } | more


def rows(tree) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(tree))))


def test_there_is_a_row_for_each_condition_and_each_kind_in_it():
    assert [(row["condition"], row["noise_kind"]) for row in rows(document())] == [
        ("clean", ""),
        ("-5 dB", ""),
        ("-5 dB", 'rain, "heavy"'),
    ]


def test_numbers_are_those_of_the_document():
    clean, noisy, _ = rows(document())
    assert (clean["f1_macro"], clean["ua"], clean["snr_db"], clean["ccc_arousal"]) == ("0.5", "0.25", "", "0.1")
    expected = {
        "system": "joint",
        "snr_db": "-5.0",
        "f1_macro": "0.1234",
        "f1_macro_low": "0.1",
        "f1_macro_high": "0.15",
        "ua_low": "",
        "ccc_valence": "",
        "ece": "0.1",
        "mce": "0.2",
        "brier": "0.3",
        "aurc": "0.4",
        "agreement": "0.9",
        "kappa": "0.8",
        "pesq_wb_unprocessed": "1.204",
        "pesq_wb_enhanced": "1.5",
        "pesq_wb_difference": "0.29",
        "pesq_wb_n": "3",
        "si_sdr_enhanced": "",
        "si_sdr_n": "4",
        "stoi_unprocessed": "",
        "baseline": "other",
        "baseline_f1_macro": "0.1",
        "difference_f1_macro": "0.0234",
        "difference_low": "0.0",
        "difference_high": "0.05",
        "p_holm": "0.02",
        "verdict": "better",
    }
    assert {name: noisy[name] for name in expected} == expected


def test_the_comparison_stands_in_its_own_condition_only():
    assert [row["verdict"] for row in rows(document())] == ["", "better", ""]


@pytest.mark.parametrize(
    "tree",
    [
        document(),
        document(conditions=[]),
        {"conditions": [condition("clean", None)], "model": None, "data": {}},
    ],
)
def test_columns_are_the_same_whatever_was_judged(tree):
    assert as_csv(tree).splitlines()[0].split(",") == list(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert {f"{name}_enhanced" for name in MEASURE_NAMES} <= set(COLUMNS)


def body(latex: str, table: int = 0) -> list[list[str]]:
    """Return the cells of a table, its heads first."""
    inside = latex.split(r"\begin{tabular}")[table + 1].split(r"\end{tabular}")[0]
    lines = [line for line in inside.splitlines() if line.endswith(r"\\")]
    return [[cell.strip() for cell in line.removesuffix(r"\\").split(" & ")] for line in lines]


def test_the_first_table_is_of_emotion_with_intervals():
    assert body(as_latex(document())) == [
        ["SNR", r"F1-macro, \%", r"UA, \%", "CCC arousal", "CCC valence"],
        ["clean", "50.0", "25.0", "0.100", "--"],
        ["$-5$ dB", r"12.3 {\footnotesize [10.0, 15.0]}", "20.0", "$-0.020$", "--"],
    ]
    assert r"in brackets: 95\,\% intervals over speakers" in as_latex(document())


def test_the_second_table_is_of_speech_before_and_after():
    assert body(as_latex(document()), 1) == [
        ["SNR", "PESQ-WB", "SI-SDR, dB"],
        ["clean", "--", "--"],
        ["$-5$ dB", r"1.20 $\to$ 1.50", "$-5.0$"],
    ]


def test_what_was_not_measured_has_no_table():
    silent = document(conditions=[condition("clean", None, f1_macro=0.5, ua=0.5)], comparison=None)
    assert as_latex(silent).count(r"\begin{table}") == 1
    speech = document(conditions=[condition("0 dB", 0.0, speech=document()["conditions"][1]["speech"])])
    assert body(as_latex(speech))[0] == ["SNR", "PESQ-WB", "SI-SDR, dB"]
    assert r"\begin{table}" not in as_latex(document(conditions=[], comparison=None))


def test_rows_have_as_many_cells_as_the_table_has_columns():
    latex = as_latex(document())
    for place, columns in enumerate(re.findall(r"\\begin\{tabular\}\{(\w+)\}", latex)):
        assert {len(row) for row in body(latex, place)} == {len(columns)}
    for name in ("table", "tabular"):
        assert latex.count(rf"\begin{{{name}}}") == latex.count(rf"\end{{{name}}}") == 3
    for rule in ("toprule", "midrule", "bottomrule"):
        assert latex.count(rf"\{rule}") == 3


def test_the_third_table_is_of_the_baseline():
    rows = body(as_latex(document()), 2)
    assert rows[0] == ["SNR", r"F1-macro, \%", r"baseline, \%", "difference", "$p$ (Holm)", "verdict"]
    compared = document()["comparison"]["conditions"]
    assert [row[-1] for row in rows[1:]] == [one["verdict"] or "none" for one in compared]
    assert [row[1] for row in rows[1:]] == [f"{100 * one['ours']:.1f}" for one in compared]


def test_leaks_are_told_in_the_caption():
    assert "3 of the utterances were learned from" in as_latex(document(seen_utterances=3))


def test_special_characters_are_only_text():
    latex = as_latex(document(system={"name": SPECIAL + "\n\x00"}))
    caption = re.search(r"\\caption\{(.*)\}", latex)[1]
    assert (
        r"50\%\_of \$x\textasciicircum{}2\$ \& \{more\} \#1 \textasciitilde{}\textbackslash{}input\{secret\}" in caption
    )
    assert re.search(r"(?<!\\)[$&#%_]", caption.split(";")[0]) is None
    assert "\x00" not in latex


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_latex_takes_it(tmp_path):
    whole = "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\begin{document}\n"
    text = as_latex(document(system={"name": SPECIAL}))
    (tmp_path / "a.tex").write_text(f"{whole}{text}\\end{{document}}\n", encoding="utf-8")
    subprocess.run(["pdflatex", "-halt-on-error", "a.tex"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
