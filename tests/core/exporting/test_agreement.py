"""The check of a file against torch: it passes what is right, and finds what is not."""

import numpy as np
import pytest

from sertool.core.exporting.agreement import LENGTHS, agreements, check_signals, seconds_per_second, torch_hears
from sertool.core.exporting.onnx_file import OnnxModel

FEW = (1, 160, 401, 6400)


def test_a_right_file_passes(tiny, tiny_file):
    found = agreements(torch_hears(tiny), OnnxModel(tiny_file).run, check_signals(FEW))
    assert [one.output for one in found] == ["enhanced", "probabilities", "attributes"]
    assert all(one.passes and one.largest < 1e-5 for one in found)


@pytest.mark.parametrize(("output", "by"), [("enhanced", 2e-4), ("probabilities", 2e-4), ("attributes", 2e-3)])
def test_a_difference_is_found_with_the_signal_it_is_in(tiny, output, by):
    hear = torch_hears(tiny)

    def astray(samples):
        said = hear(samples)
        return {name: v + by * (len(samples) == 401 and name == output) for name, v in said.items()}

    found = {one.output: one for one in agreements(hear, astray, check_signals(FEW))}
    assert not found[output].passes and found[output].samples == 401
    peak = np.abs(check_signals(FEW)[2]).max()
    assert found[output].largest == pytest.approx(by / peak if output == "enhanced" else by, rel=1e-3)
    assert all(one.passes for name, one in found.items() if name != output)


def test_what_is_no_number_or_of_another_shape_never_passes(tiny):
    hear = torch_hears(tiny)
    for spoil in (lambda said: said * np.nan, lambda said: said[:-1]):
        found = agreements(
            hear, lambda x, spoil=spoil: {k: spoil(v) for k, v in hear(x).items()}, check_signals((400,))
        )
        assert not any(one.passes for one in found)


def test_other_outputs_are_another_model(tiny):
    hear = torch_hears(tiny)
    with pytest.raises(ValueError, match="compare the same model"):
        agreements(hear, lambda x: {"enhanced": hear(x)["enhanced"]}, check_signals((400,)))


def test_signals_are_as_long_as_asked_the_same_each_time_and_end_with_silence():
    signals = check_signals()
    assert [len(samples) for samples in signals[:-1]] == list(LENGTHS) and not signals[-1].any()
    assert all(samples.dtype == np.float32 and 0 < np.abs(samples).max() <= 0.5 for samples in signals[:-1])
    np.testing.assert_array_equal(signals[-2], check_signals()[-2])
    assert np.abs(np.fft.rfft(signals[-2][:48_000])).max() > 1  # something is heard in the first seconds


def test_speed_is_of_a_second_of_audio():
    heard = []
    taken = seconds_per_second(lambda samples: heard.append(len(samples)) or {}, duration_s=0.5, times=2)
    assert heard == [8000] * 3 and 0 <= taken < 1
