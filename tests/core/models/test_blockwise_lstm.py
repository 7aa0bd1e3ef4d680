"""A recurrent network over chunks says what it says over the whole, however long it remembers."""

import pytest
import torch

from sertool.core.models.blockwise_lstm import BlockwiseLSTM


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("chunk", [1, 7, 50, 200])
@pytest.mark.parametrize("gain", [1.0, 6.0])
def test_chunks_say_what_the_whole_says(layers, chunk, gain):
    torch.manual_seed(layers)
    lstm = torch.nn.LSTM(5, 4, num_layers=layers, bidirectional=True, batch_first=True)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.mul_(gain)  # gates that stay shut or open: what is seen once is remembered for ever
    sequence = torch.randn(1, 200, 5)
    with torch.inference_mode():
        whole = lstm(sequence)[0][0]
        parts = list(BlockwiseLSTM(lstm, sequence[0].split(chunk)).outputs())
    assert len(parts) == -(-200 // chunk)
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=1e-5)


def test_the_global_generator_is_left_alone():
    lstm = torch.nn.LSTM(5, 4, bidirectional=True, batch_first=True)
    before = torch.random.get_rng_state()
    with torch.inference_mode():
        list(BlockwiseLSTM(lstm, torch.zeros(10, 5).split(3)).outputs())
    assert torch.equal(before, torch.random.get_rng_state())
