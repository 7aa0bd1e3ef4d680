"""What every encoder is, whichever it is, and the one place that knows which there are."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sertool.core.audio.spectra import Statistics, standardise

if TYPE_CHECKING:
    from sertool.core.models.config import EncoderConfig


@dataclass(frozen=True)
class EncoderOutput:
    """What every encoder returns: L + 1 hidden states (B, T, D) at 50 Hz, and each utterance's own frames (B,)."""

    hidden_states: tuple[Tensor, ...]
    frame_lengths: Tensor


@dataclass(frozen=True)
class HiddenFrames:
    """Frames that an encoder must do without, for masked prediction (HuBERT, Hsu et al., TASLP 2021, section II-B).

    Attributes:
        where: which, bool, (B, T'); beyond T' nothing is hidden, and what is beyond the encoder's own T does not count.
        vector: what stands in their place behind the front end, (D,).
    """

    where: Tensor
    vector: Tensor

    def replace(self, features: Tensor) -> Tensor:
        """Return features (B, T, D) with the vector in place of the hidden ones, padding among them."""
        # Of an utterance's last frames encoders differ by one or two, by where they centre the first.
        where = F.pad(self.where, (0, features.shape[1] - self.where.shape[1]))
        return torch.where(where[:, :, None], self.vector.to(features.dtype), features)


class Encoder(nn.Module):
    """Maps waveforms to hidden states; an utterance's own do not depend on its batch.

    Attributes:
        dim: width of a hidden state, D.
        num_states: hidden states returned, L + 1.
        reach: samples before and after a frame's centre beyond which nothing changes it; None where all of the input
            does.
        first_centre: the sample that frame 0 is centred on; frame t is centred 320 t samples later.
    """

    dim: int
    num_states: int
    reach: int | None
    first_centre: int = 0

    def prepare(self, waveform: Tensor, lengths: Tensor, statistics: Statistics) -> Tensor:
        """Return the waveform as this encoder hears it; standardised unless it says otherwise.

        Args:
            waveform: samples at 16 kHz, any level, (B, S).
            lengths: samples of each utterance, (B,).
            statistics: of the utterances, or of the longer ones they are cut from.

        Returns:
            (B, S), zero in the padding.
        """
        return standardise(waveform, lengths, statistics)

    def forward(self, waveform: Tensor, lengths: Tensor, hidden: HiddenFrames | None = None) -> EncoderOutput:
        """Return the hidden states of prepared waveforms (B, S), the last after the final LayerNorm.

        What is hidden is replaced behind the front end, before anything that lets frames hear of one another.
        """
        raise NotImplementedError

    def parts(self) -> dict[str, list[nn.Module]]:
        """Return the modules that learn together: `front-end`, `encoder-lower` and `encoder-upper`, all of them."""
        raise NotImplementedError

    def linear_layers(self) -> dict[str, list[str]]:
        """Return the names of the linear layers an adaptation may be for: of `feed-forward` and of `attention`."""
        raise NotImplementedError


def build_encoder(config: "EncoderConfig") -> Encoder:
    """Return an encoder of a configuration, with new weights; nothing is read from disk or fetched.

    Raises:
        InputError: the architecture of an SSL encoder does not describe one.
    """
    # Imported here, so that a compact model does not wait for transformers to be imported.
    if config.kind == "compact":
        from sertool.core.models.compact import CompactEncoder

        return CompactEncoder(config)
    if config.kind == "log-mel":
        from sertool.core.models.log_mel import LogMelEncoder

        return LogMelEncoder(config)
    from sertool.core.models.ssl import SSLEncoder

    return SSLEncoder(config)
