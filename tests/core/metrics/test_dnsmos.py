"""DNSMOS with networks small enough to work out by hand; its spectrum against librosa's."""

import pickle
import sys

import numpy as np
import pytest

from sertool.core.errors import InputError
from sertool.core.metrics.dnsmos import P808_MEASURES, P835_MEASURES, WINDOW, Dnsmos, p808_spectrum, windows

RATE = 16_000


def _save(path, *, inputs, outputs, factors, kind=1):
    """Write a network that answers with the mean of what it takes in, times factors (K,)."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    axes = list(range(1, len(inputs)))
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["input_1"], ["mean"], axes=axes, keepdims=0),
            helper.make_node("Reshape", ["mean", "column"], ["means"]),
            helper.make_node("Mul", ["means", "factors"], ["answer"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("input_1", kind, inputs)],
        [helper.make_tensor_value_info("answer", kind, outputs)],
        [
            helper.make_tensor("column", onnx.TensorProto.INT64, [2], [-1, 1]),
            helper.make_tensor("factors", kind, [1, len(factors)], factors),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def p835(path, factors=(1.0, 2.0, 3.0), samples=WINDOW):
    return _save(path, inputs=["n", samples], outputs=["n", len(factors)], factors=factors)


def p808(path, factors=(2.0,)):
    return _save(path, inputs=["n", 900, 120], outputs=["n", len(factors)], factors=factors)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("dnsmos")
    p835(folder / "sig_bak_ovr.onnx")
    p808(folder / "model_v8.onnx")
    return folder


def _signal(seconds, seed=0):
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (samples + np.linspace(0, 0.8, len(samples))).astype(np.float32)  # its mean tells windows apart


def _by_hand(means):
    """The published polynomials, written out, of the three answers of the tiny network."""
    fits = {
        "dnsmos_sig": lambda x: -0.08397278 * x**2 + 1.22083953 * x + 0.0052439,
        "dnsmos_bak": lambda x: -0.13166888 * x**2 + 1.60915514 * x - 0.39604546,
        "dnsmos_ovr": lambda x: -0.06766283 * x**2 + 1.11546468 * x + 0.04602535,
    }
    return {
        name: np.mean([fit(factor * mean) for mean in means])
        for factor, (name, fit) in enumerate(fits.items(), start=1)
    }


def test_a_short_signal_is_repeated_and_the_answers_go_through_the_polynomials(folder):
    signal = _signal(5.0)
    scores = Dnsmos.read(folder).score(signal)
    window = np.resize(signal, WINDOW)
    for name, value in _by_hand([window.mean(dtype=np.float64)]).items():
        assert scores[name] == pytest.approx(value, abs=1e-4)
    assert scores["dnsmos_p808"] == pytest.approx(2 * p808_spectrum(window).mean(dtype=np.float64), abs=1e-4)
    assert scores["reasons"] == {}


def test_a_long_signal_is_the_mean_over_windows_a_second_apart(folder):
    signal = _signal(12.5)
    starts = [0, RATE, 2 * RATE]  # the window from 3 s on would end at 12.01 s, beyond the last whole second
    scores = Dnsmos.read(folder / "sig_bak_ovr.onnx").score(signal)
    by_hand = _by_hand([signal[start : start + WINDOW].mean(dtype=np.float64) for start in starts])
    assert {name: scores[name] for name in P835_MEASURES} == pytest.approx(by_hand, abs=1e-4)


def _published_windows(signal):
    """The published script's arithmetic, slips included."""
    while len(signal) < int(9.01 * RATE):
        signal = np.append(signal, signal)
    cut = [
        signal[int(hop * RATE) : int((hop + 9.01) * RATE)]
        for hop in range(int(np.floor(len(signal) / RATE) - 9.01) + 1)
    ]
    return [window for window in cut if len(window) >= int(9.01 * RATE)]


@pytest.mark.parametrize(
    ("seconds", "count"), [(0.01, 1), (1, 7), (5, 1), (9.005, 7), (9.01, 1), (10.9, 1), (11, 2), (17, 7), (40, 14)]
)
def test_windows_are_those_of_the_published_script(seconds, count):
    signal = np.arange(round(seconds * RATE))
    cut = windows(signal)
    assert cut.shape == (count, WINDOW) and cut.dtype == np.float32
    np.testing.assert_array_equal(cut, _published_windows(signal))


def test_the_spectrum_is_librosas():
    n = np.arange(WINDOW)
    signal = ((n * n % 1009) / 1009 - 0.5) * (n / WINDOW) + 0.2 * np.sin(2 * np.pi * 1000 * n / RATE)
    spectrum = p808_spectrum(signal.astype(np.float32))
    assert spectrum.shape == (900, 120) and spectrum.dtype == np.float32
    # librosa 0.11: (power_to_db(melspectrogram(y[:-160], sr=16000, n_fft=321, hop_length=160, n_mels=120),
    # ref=max) + 40) / 40, transposed
    expected = {(0, 0): -0.622134, (10, 5): -0.352551, (450, 60): -0.036693, (899, 119): 0.454029, (899, 10): 0.086255}
    for place, value in expected.items():
        assert spectrum[place] == pytest.approx(value, abs=1e-5), place
    assert spectrum.mean(dtype=np.float64) == pytest.approx(0.209298, abs=1e-5)
    assert spectrum.max() == 1.0


def test_the_spectrum_does_not_feel_the_level():
    signal = windows(_signal(3.0))[0]
    np.testing.assert_allclose(p808_spectrum(signal), p808_spectrum(0.25 * signal), atol=1e-5)
    assert p808_spectrum(np.where(np.arange(WINDOW) < 999, signal, 0.0)).min() == -1.0  # 80 dB below the largest


def test_the_measures_are_those_of_the_networks_at_hand(folder, tmp_path):
    assert Dnsmos.read(folder).measures == (*P835_MEASURES, *P808_MEASURES)
    renamed = tmp_path / "speech quality.onnx"
    renamed.write_bytes((folder / "model_v8.onnx").read_bytes())
    alone = Dnsmos.read(renamed)
    assert alone.measures == P808_MEASURES and alone.p835 is None
    assert set(alone.score(_signal(1.0))) == {"dnsmos_p808", "reasons"}
    assert list(alone.digests) == ["speech quality.onnx"]


def test_another_rate_is_resampled(folder):
    networks, seconds = Dnsmos.read(folder / "sig_bak_ovr.onnx"), 10.0
    slow, fast = (np.linspace(0, 1, round(rate * seconds)) ** 2 for rate in (8000, RATE))
    assert networks.score(slow, 8000)["dnsmos_sig"] == pytest.approx(networks.score(fast)["dnsmos_sig"], abs=1e-3)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([], "no samples"),
        (np.zeros(RATE), "silent"),
        (np.full(RATE, 0.3), "silent"),
        ([0.1, np.nan] * 99, "not finite"),
        ([0.1, np.inf] * 99, "not finite"),
        ([0.1, 1e200] * 99, "not finite"),
    ],
)
def test_what_cannot_be_scored_has_a_reason_and_no_number(folder, samples, reason):
    networks = Dnsmos.read(folder)
    scores = networks.score(np.array(samples, dtype=np.float64))
    assert all(scores[name] is None and reason in scores["reasons"][name] for name in networks.measures)


def test_another_process_scores_alike(folder):
    networks = Dnsmos.read(folder)
    sent = pickle.loads(pickle.dumps(networks))
    assert sent == networks and sent.score(_signal(1.0)) == networks.score(_signal(1.0))


def test_a_file_that_changed_is_not_used(tmp_path):
    pytest.importorskip("onnxruntime")
    path = p808(tmp_path / "model_v8.onnx")
    stale = Dnsmos(p835=None, p808=path, digests={path.name: "0" * 64})
    with pytest.raises(InputError, match="changed while it was in use"):
        stale.score(_signal(1.0))


def test_channels_are_an_error(folder):
    with pytest.raises(ValueError, match="one channel"):
        Dnsmos.read(folder).score(np.zeros((RATE, 2)))


def test_other_files_are_errors_that_say_what_to_do(folder, tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    (tmp_path / "empty").mkdir()
    swapped = tmp_path / "swapped"
    swapped.mkdir()
    (swapped / "sig_bak_ovr.onnx").write_bytes((folder / "model_v8.onnx").read_bytes())
    (tmp_path / "pDNSMOS").mkdir()
    personal = p835(tmp_path / "pDNSMOS" / "sig_bak_ovr.onnx")
    for path, words in [
        (personal, "is the personalised network"),
        (personal.parent, "is the personalised network"),
        (tmp_path / "text.onnx", "is no network that onnxruntime can read; expected"),
        (tmp_path / "empty", "no DNSMOS network there; expected sig_bak_ovr.onnx"),
        (tmp_path / "absent.onnx", "no DNSMOS network there; expected sig_bak_ovr.onnx"),
        (swapped, r"takes in tensor\(float\) \['n', 900, 120\]; expected"),
        (p835(tmp_path / "other.onnx", samples=WINDOW + 1), r"takes in tensor\(float\) \['n', 144161\]; expected"),
        (p835(tmp_path / "two.onnx", factors=(1.0, 2.0)), "answers a window with 2 numbers; expected 3"),
        (p808(tmp_path / "nan.onnx", factors=(np.nan,)), "answer is not a number; expected one"),
    ]:
        with pytest.raises(InputError, match=words):
            Dnsmos.read(path)


def test_without_onnxruntime_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'sertool\[dnsmos\]'"):
        Dnsmos.read(tmp_path)
