"""The enhancement head: a mask on the log-magnitude spectrum (head of Tzeng et al., ICASSP 2025)."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sertool.core.audio.spectra import NUM_BINS
from sertool.core.models.config import EnhancementConfig


class EnhancementHead(nn.Module):
    """Estimate a mask in (0, 1) for each bin from the spectrum and the encoder's features.

    [log1p spectrum (201) ; features (D)] → Linear → bidirectional LSTM, the directions of its last layer summed →
    Linear 201 → Sigmoid. With projection = hidden = 256 and D = 1024 these are the published sizes (about 3.0 M).
    """

    def __init__(self, dim: int, config: EnhancementConfig) -> None:
        super().__init__()
        self.project = nn.Linear(NUM_BINS + dim, config.projection)
        self.recurrent = nn.LSTM(
            config.projection, config.hidden, num_layers=config.layers, bidirectional=True, batch_first=True
        )
        self.mask = nn.Linear(config.hidden, NUM_BINS)

    def forward(self, log_spectrum: Tensor, features: Tensor, frame_lengths: Tensor) -> Tensor:
        """Return the mask.

        Args:
            log_spectrum: log1p magnitude at 100 Hz, (B, T, 201).
            features: the encoder's features brought to 100 Hz by `repeat_to_spectrum`, (B, T, D).
            frame_lengths: spectral frames of each utterance, (B,).

        Returns:
            (B, T, 201), between 0 and 1; arbitrary in the padding.
        """
        x = self.recurrent_input(log_spectrum, features)
        if int(frame_lengths.min()) == x.shape[1]:
            states = self.recurrent(x)[0]  # nothing is padded, and unpacked sequences are several times faster
        else:
            # Packed, so that the backward direction starts at each utterance's own end and not in the padding.
            packed = pack_padded_sequence(x, frame_lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=x.shape[1])
        return self.mask_of(states)

    def recurrent_input(self, log_spectrum: Tensor, features: Tensor) -> Tensor:
        """Return what the recurrent layers are given of (B, T, 201) and (B, T, D), (B, T, P)."""
        return self.project(torch.cat([log_spectrum, features.to(log_spectrum.dtype)], dim=-1))

    def mask_of(self, states: Tensor) -> Tensor:
        """Return the mask (…, T, 201) that follows from the states of the recurrent layers, (…, T, 2H)."""
        forward, backward = states.chunk(2, dim=-1)
        return torch.sigmoid(self.mask(forward + backward))


def repeat_to_spectrum(features: Tensor, frame_lengths: Tensor, num_frames: int) -> Tensor:
    """Bring 50 Hz features to the spectrum's 100 Hz: each frame twice, an utterance's last one as often as needed.

    Args:
        features: (B, T, D).
        frame_lengths: frames of each utterance, (B,).
        num_frames: spectral frames to return.

    Returns:
        (B, num_frames, D).
    """
    position = torch.arange(num_frames, device=features.device) // 2
    index = torch.minimum(position[None], frame_lengths[:, None] - 1)
    return features.gather(1, index[:, :, None].expand(-1, -1, features.shape[2]))
