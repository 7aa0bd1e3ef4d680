"""The quantised variant: smaller, of the same outputs, and its cost told as it is."""

import numpy as np
import onnx
import pytest

from sertool.core.corpus.manifest import Manifest
from sertool.core.exporting.agreement import check_signals
from sertool.core.exporting.manifest_cost import Scores, _clean_paths, _scores
from sertool.core.exporting.onnx_file import OnnxModel
from sertool.core.exporting.quantise import Cost, cost, quantised_name, write_quantised


@pytest.fixture(scope="module")
def quantised(tiny_file):
    target = quantised_name(tiny_file)
    write_quantised(tiny_file, target)
    return target


def test_linear_layers_and_recurrences_are_whole_numbers_and_spectra_are_not(tiny_file, quantised):
    assert quantised.name == "tiny.int8.onnx"
    kinds = [node.op_type for node in onnx.load(quantised).graph.node]
    plain = [node.op_type for node in onnx.load(tiny_file).graph.node]
    assert "DynamicQuantizeLSTM" in kinds and "LSTM" not in kinds and "MatMul" not in kinds
    assert kinds.count("Conv") == plain.count("Conv") > 0
    assert kinds.count("ConvTranspose") == plain.count("ConvTranspose") > 0


def test_it_says_nearly_the_same_and_keeps_the_metadata(tiny_file, quantised):
    before, after = OnnxModel(tiny_file), OnnxModel(quantised)
    assert after.categories == before.categories
    found = cost(before.run, after.run, check_signals((400, 6400, 16_000)))
    assert found.signals == 3  # the one of 400 samples is left out, silence is not
    assert 0 < found.mean_change <= found.largest_change < 0.1
    assert 0 < found.largest_attribute_change < 0.5
    assert 10 < found.worst_si_sdr <= found.si_sdr


def test_cost_is_what_its_words_say():
    signals = [np.ones(1600), np.ones(3200)]
    noise = np.random.default_rng(0).standard_normal(3200)

    def before(samples):
        return {"probabilities": np.array([0.6, 0.4]), "attributes": np.array([4.0]), "enhanced": noise[: len(samples)]}

    def after(samples):
        shift = 0.2 if len(samples) == 3200 else 0.0
        said = before(samples)
        return {**said, "probabilities": said["probabilities"] + [-shift, shift], "attributes": np.array([4.0 + shift])}

    found = cost(before, after, signals)
    assert (found.signals, found.same_label, found.largest_change) == (2, 0.5, pytest.approx(0.2))
    assert found.mean_change == pytest.approx(0.1) and found.largest_attribute_change == pytest.approx(0.2)
    assert found.si_sdr is None  # equal signals have none


def test_rows_without_a_clean_file_have_none(tmp_path):
    (tmp_path / "m.csv").write_text("file_name,clean_file\na.wav,b.wav\nc.wav,\n")
    assert _clean_paths(Manifest.read(tmp_path / "m.csv")) == [(tmp_path / "b.wav").resolve(), None]


def test_what_a_model_has_not_costs_nothing():
    assert cost(lambda x: {}, lambda x: {}, [np.ones(1600)]) == Cost(signals=1)
    assert _scores([], [], [], ()) == Scores(None, None, None)
    measured = [{"pesq_wb": None, "si_sdr": 3.0}, {"pesq_wb": None, "si_sdr": 5.0}]
    assert _scores(["a", "", "c"], ["a", "a", "b"], measured, ("a", "b")) == Scores(1.0, None, 4.0)
