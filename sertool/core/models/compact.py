"""The compact encoder: log-mel frames and dilated depthwise convolutions, hidden states at 50 Hz."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sertool.core.audio.spectra import HOP, N_FFT, frame_mask
from sertool.core.models.config import CompactConfig
from sertool.core.models.encoder import Encoder, EncoderOutput, HiddenFrames
from sertool.core.models.log_mel import log_mel, mel_filters


class CompactEncoder(Encoder):
    """Map standardised waveforms to hidden states, an utterance's own whatever batch it lies in.

    Ours, not a published network: 80 log-mel bands at 100 Hz, two convolutions down to 50 Hz (the front end), then
    residual layers of one dilated depthwise convolution and a two-layer perceptron. There is no attention, so time and
    memory grow with the length alone and an output depends on about two seconds either side.
    """

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        # Stored with the weights: a model read back must hear exactly what the trained one heard.
        with torch.device("cpu"):  # on the meta device torch makes windows by its compiler, slow to import
            self.register_buffer("window", torch.hann_window(N_FFT))
        self.register_buffer("mel_filters", mel_filters(config.mels))
        self.front_end = FrontEnd(config.mels, config.dim)
        dilations = [config.dilations[i % len(config.dilations)] for i in range(config.layers)]
        self.layers = nn.ModuleList(ConvolutionLayer(config, dilation) for dilation in dilations)
        self.final_norm = nn.LayerNorm(config.dim)

    @property
    def dim(self) -> int:
        """Width of a hidden state, D."""
        return self.config.dim

    @property
    def num_states(self) -> int:
        """Hidden states returned, L + 1."""
        return self.config.layers + 1

    @property
    def reach(self) -> int:
        """Samples before and after a frame's centre beyond which nothing changes it."""
        frames = sum(layer.over_time.padding[0] for layer in self.layers)
        # A frame at 50 Hz spans five at 100 Hz, each of N_FFT samples.
        return frames * 2 * HOP + 2 * HOP + N_FFT // 2

    def parts(self) -> dict[str, list[nn.Module]]:
        """Return the convolutions at the front, and the layers' lower and upper half, the final norm with the upper."""
        half = len(self.layers) // 2
        upper = [*self.layers[half:], self.final_norm]
        return {"front-end": [self.front_end], "encoder-lower": [*self.layers[:half]], "encoder-upper": upper}

    def linear_layers(self) -> dict[str, list[str]]:
        """Return the perceptrons' layers; there is no attention."""
        names = [f"layers.{i}.{name}" for i in range(len(self.layers)) for name in ("expand", "contract")]
        return {"feed-forward": names, "attention": []}

    def forward(self, waveform: Tensor, lengths: Tensor, hidden: HiddenFrames | None = None) -> EncoderOutput:
        """Return the hidden states.

        Args:
            waveform: standardised samples at 16 kHz, (B, S).
            lengths: samples of each utterance, (B,).
            hidden: frames to replace behind the convolutions at the front; None for none.

        Returns:
            L + 1 tensors (B, T, D), T = ceil((1 + S // 160) / 2), zero in the padding; and the frame lengths (B,).
        """
        frames, frame_lengths = log_mel(waveform, lengths, self.window, self.mel_filters)  # (B, 2T, mels)
        x, frame_lengths = self.front_end(frames, frame_lengths)  # (B, T, D)
        mask = frame_mask(frame_lengths, x.shape[1])[:, :, None]
        if hidden is not None:
            x = hidden.replace(x) * mask
        states = [x]
        for layer in self.layers:
            x = layer(x, mask)
            states.append(x)
        states[-1] = self.final_norm(x) * mask
        return EncoderOutput(hidden_states=tuple(states), frame_lengths=frame_lengths)


class FrontEnd(nn.Module):
    """Two convolutions over log-mel frames, 100 Hz to 50 Hz; frozen in fine-tuning like those of the SSL encoders."""

    def __init__(self, mels: int, dim: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(mels, dim, 3, padding=1)
        self.second = nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(dim)

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, 2T, mels) to (B, T, D), and the lengths with it."""
        mask = frame_mask(lengths, frames.shape[1])[:, None]
        x = F.gelu(self.first(frames.transpose(1, 2) * mask)) * mask
        x = self.second(x).transpose(1, 2)
        lengths = (lengths + 1) // 2
        return self.norm(x) * frame_mask(lengths, x.shape[1])[:, :, None], lengths


class DepthwiseConvolution(nn.Conv1d):
    """Convolve each channel over time by itself, (B, T, D) to (B, T, D), zeros beyond the ends."""

    def __init__(self, dim: int, kernel: int, dilation: int) -> None:
        padding = (kernel - 1) // 2 * dilation
        super().__init__(dim, dim, kernel, padding=padding, dilation=dilation, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, T, D)."""
        if x.device.type != "cpu":
            return super().forward(x.transpose(1, 2)).transpose(1, 2)
        # On a processor torch is several times faster in two dimensions with the channels last and no dilation. So
        # frames a dilation apart become the rows of an image, (B, D, T / dilation, dilation), which takes no copy.
        batch, frames, dim = x.shape
        (dilation,) = self.dilation
        rows = -(-frames // dilation)
        image = F.pad(x, (0, 0, 0, rows * dilation - frames)).reshape(batch, rows, dilation, dim).permute(0, 3, 1, 2)
        image = F.conv2d(
            image,
            self.weight.reshape(*self.weight.shape, 1),
            self.bias,
            padding=(self.padding[0] // dilation, 0),
            groups=dim,
        )
        return image.permute(0, 2, 3, 1).reshape(batch, rows * dilation, dim)[:, :frames]


class ConvolutionLayer(nn.Module):
    """A residual layer: depthwise convolution over time, LayerNorm, then a perceptron over channels."""

    def __init__(self, config: CompactConfig, dilation: int) -> None:
        super().__init__()
        self.over_time = DepthwiseConvolution(config.dim, config.kernel, dilation)
        self.norm = nn.LayerNorm(config.dim)
        self.expand = nn.Linear(config.dim, config.expansion * config.dim)
        self.contract = nn.Linear(config.expansion * config.dim, config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, T, D) to the same shape; frames outside the mask (B, T, 1) are zero before and after."""
        y = self.over_time(x)
        y = self.contract(F.gelu(self.expand(self.norm(y))))
        return (x + self.dropout(y)) * mask
