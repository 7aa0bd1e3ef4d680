"""Samples as callers have them: what is taken, what is refused in which words, and results in the same kind."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sertool.core.audio.blocks import ArraySource
from sertool.core.errors import InputError
from sertool.core.models.array_types import as_array, as_source, checked_rate, in_kind_of, in_shape_of


@pytest.mark.parametrize(
    "samples",
    [
        np.array([0.5, -0.25, 0.0]),
        np.array([0.5, -0.25, 0.0], np.float16),
        [0.5, -0.25, 0.0],
        torch.tensor([0.5, -0.25, 0.0], dtype=torch.float64),
        torch.tensor([0.5, -0.25, 0.0], dtype=torch.bfloat16),
        torch.tensor([0.5, -0.25, 0.0], requires_grad=True),
        torch.tensor([0.5, 9.0, -0.25, 9.0, 0.0])[::2],
    ],
)
def test_floating_point_of_every_kind_is_float32_within(samples):
    found = as_array(samples)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    np.testing.assert_array_equal(found, np.float32([0.5, -0.25, 0.0]))


def test_nothing_is_copied_needlessly():
    array, tensor = np.ones(10, np.float32), torch.ones(10)
    assert np.shares_memory(as_array(array), array)
    assert as_array(tensor).ctypes.data == tensor.data_ptr()


@pytest.mark.parametrize("shape", [(1,), (16,), (1, 6), (1, 8), (9, 9), (200, 128)])
def test_shapes_that_are_taken(shape):
    assert as_array(torch.zeros(shape)).shape == shape


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (
            np.zeros((2, 16_000)),
            r"\(2, 16000\), which is 16000 channels of 2 samples.* transpose \(channels, S\) with .T",
        ),
        (np.zeros((1, 9)), "9 channels of 1 samples"),
        (np.zeros((1000, 129)), "at most 128"),
        (np.zeros((1, 2, 3)), r"the shape \(1, 2, 3\)"),
        (np.zeros(()), r"the shape \(\)"),
        (np.zeros(0), r"the shape \(0,\)"),
        (np.zeros((0, 2)), r"the shape \(0, 2\)"),
        (np.zeros(4, np.int16), "are int16; expected floating point.* divide them by 32768"),
        (np.zeros(4, np.int32), "are int32.* divide them by 2147483648"),
        (np.zeros(4, np.uint8), "are uint8.* convert them to float32"),
        (np.zeros(4, np.int64), "are int64.* convert them to float32"),
        (np.zeros(4, bool), "are bool.* convert them to float32"),
        (np.zeros(4, complex), "are complex128.* convert them"),
        (np.array([0.0, np.nan]), "not numbers"),
        (np.array([0.0, -np.inf]), "not numbers"),
        (np.array([0.0, 1e20]), r"reach 1e\+20; expected about -1 to 1"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_to_do(kind, samples, words):
    with pytest.raises(InputError, match=words):
        as_array(kind(samples))


def test_a_list_of_utterances_is_not_one():
    with pytest.raises(InputError, match=r"several lengths.* predict_many"):
        as_array([np.zeros(3), np.zeros(4)])


@pytest.mark.parametrize("rate", [16_000, np.int64(16_000), 16_000.0, np.float32(16_000)])
def test_a_rate_is_a_whole_number_however_it_is_kept(rate):
    assert checked_rate(rate) == 16_000 and type(checked_rate(rate)) is int


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (None, "was not given.* enhance\\(samples, 16_000\\)"),
        (0, "is 0 Hz; expected a whole number from 1000 to 768000"),
        (-16_000, "is -16000 Hz"),
        (44_100.5, "is 44100.5 Hz"),
        (16, "is 16 Hz"),
        (1e6, "is 1000000.0 Hz"),
        (float("nan"), "is nan; expected a number"),
        ("16000", "is '16000'; expected a number"),
        (True, "is True"),
    ],
)
def test_what_is_no_rate(rate, words):
    with pytest.raises(InputError, match=words):
        checked_rate(rate)


def test_samples_a_file_and_a_source_are_sources(tmp_path):
    samples = np.float32([[0.5, 0.25], [0.0, -0.25]])
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    source = ArraySource(samples, 8000)
    assert as_source(source, None) is source
    for given, rate in ((samples, 8000), (tmp_path / "a.wav", None), (str(tmp_path / "a.wav"), 99)):
        found = as_source(given, rate)
        assert (found.rate, found.channels) == (8000, 2)
        np.testing.assert_array_equal(np.concatenate(list(found.blocks())), samples)
    with pytest.raises(InputError, match="rate of the samples was not given"):
        as_source(samples, None)
    with pytest.raises(InputError, match="no such file"):
        as_source("absent.wav", None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_tensor_comes_back_as_a_tensor_of_its_type(dtype):
    samples = torch.zeros(3, dtype=dtype, requires_grad=True)
    found = in_shape_of(samples, np.float32([[0.5], [0.25], [0.0]]))
    assert found.dtype == dtype and found.shape == (3,) and not found.requires_grad
    assert found.tolist() == [0.5, 0.25, 0.0]


@pytest.mark.parametrize(
    "samples", [np.zeros((2, 1)), np.zeros((2, 1), np.float16), [[0.0], [0.0]], "a.wav", Path("a.wav")]
)
def test_all_else_comes_back_as_an_array(samples):
    result = np.ones((2, 1), np.float32)
    for found in (in_kind_of(samples, result), in_shape_of(samples, result)):
        assert isinstance(found, np.ndarray) and found.dtype == np.float32 and found.shape == (2, 1)


@pytest.mark.gpu
def test_a_tensor_comes_back_on_its_device():
    samples = torch.ones(4, device="cuda", dtype=torch.float16)
    np.testing.assert_array_equal(as_array(samples), np.ones(4, np.float32))
    assert in_kind_of(samples, np.zeros(4, np.float32)).device == samples.device
