"""Self-supervised encoders: WavLM, HuBERT, wav2vec 2.0 and data2vec-audio, of the layers of `transformers`.

Its models are taken apart: their modules, with the names and weights they have there, and a forward pass of our own,
which gives the same hidden states but for padding (`ssl_padding`), and all of them in training too.
"""

from typing import Any

import torch
from torch import Tensor, nn

from sertool.core.audio.spectra import Statistics, frame_mask
from sertool.core.models.config import SSLConfig
from sertool.core.models.encoder import Encoder, EncoderOutput, HiddenFrames
from sertool.core.models.onednn import use_onednn
from sertool.core.models.ssl_architecture import checked_architecture, receptive_field
from sertool.core.models.ssl_padding import at_least, convolved, positional

DROPOUTS = ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout")

NOT_BUILT = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0, "add_adapter": False}
"""What would bring tensors of its own and is not wanted: SpecAugment, which fails on short utterances, and convolutions
behind the encoder that halve its frame rate. LayerDrop, which changes the number of hidden states, and SpecAugment
itself lie in the forward pass of `transformers`, which is not used."""

FEED_FORWARD = ("feed_forward.intermediate_dense", "feed_forward.output_dense")
ATTENTION = ("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.out_proj")


class SSLEncoder(Encoder):
    """Map waveforms to the hidden states of a self-supervised transformer, an utterance's own whatever its batch.

    WavLM (Chen et al., 2022), HuBERT (Hsu et al., 2021), wav2vec 2.0 (Baevski et al., 2020), data2vec (Baevski et al.,
    2022); the names of its tensors are those of the bare models in `transformers`.
    """

    reach = None

    def __init__(self, config: SSLConfig) -> None:
        """Build it with new weights, from its configuration alone.

        Raises:
            InputError: the architecture does not describe one.
        """
        super().__init__()
        self.config = config
        model = build_model(config)
        self.feature_extractor = model.feature_extractor
        self.feature_projection = model.feature_projection
        self.encoder = model.encoder
        self._stable = getattr(model.config, "do_stable_layer_norm", False)
        self._relative = model.config.model_type == "wavlm"
        self._shortest = receptive_field(list(model.config.conv_kernel), list(model.config.conv_stride))
        self.train()

    @property
    def dim(self) -> int:
        """Width of a hidden state, D."""
        return self.feature_projection.projection.out_features

    @property
    def num_states(self) -> int:
        """Hidden states returned, L + 1."""
        return len(self.layers) + 1

    @property
    def first_centre(self) -> int:
        """The sample that frame 0 is centred on, 200: no frame reaches beyond the ends."""
        return self._shortest // 2

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer layers."""
        return self.encoder.layers

    def train(self, mode: bool = True) -> "SSLEncoder":
        """Switch dropout on or off; a batch norm goes by its running statistics always."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eval()
        return self

    def parts(self) -> dict[str, list[nn.Module]]:
        """Return the convolutions at the front; what follows, up to half of the layers; and the other half.

        The LayerNorm of the encoder goes with what it stands beside: the position embedding where the layers are
        normalised behind their sums, the last layer where they are before them.
        """
        half, norm = len(self.layers) // 2, [self.encoder.layer_norm]
        before, behind = ([], norm) if self._stable else (norm, [])
        lower = [self.feature_projection, self.encoder.pos_conv_embed, *before, *self.layers[:half]]
        return {
            "front-end": [self.feature_extractor],
            "encoder-lower": lower,
            "encoder-upper": [*self.layers[half:], *behind],
        }

    def linear_layers(self) -> dict[str, list[str]]:
        """Return the two of every layer's perceptron, and the four projections of its attention."""
        stems = [f"encoder.layers.{i}" for i in range(len(self.layers))]
        return {
            "feed-forward": [f"{stem}.{name}" for stem in stems for name in FEED_FORWARD],
            "attention": [f"{stem}.{name}" for stem in stems for name in ATTENTION],
        }

    def prepare(self, waveform: Tensor, lengths: Tensor, statistics: Statistics) -> Tensor:
        """Return what the model's own preprocessor would: the samples as they are, or (x - mean) / sqrt(var + 1e-7).

        Args:
            waveform: samples at 16 kHz, (B, S).
            lengths: samples of each utterance, (B,).
            statistics: of the utterances, or of the longer ones they are cut from.

        Returns:
            (B, S), zero in the padding.
        """
        own = frame_mask(lengths, waveform.shape[1])
        if not self.config.normalise:
            return waveform * own
        return (waveform - statistics.mean) / torch.sqrt(statistics.std.square() + 1e-7) * own

    def forward(self, waveform: Tensor, lengths: Tensor, hidden: HiddenFrames | None = None) -> EncoderOutput:
        """Return the hidden states.

        An utterance shorter than one frame of the convolutions (400 samples) is lengthened to it by zeros.

        Args:
            waveform: prepared samples at 16 kHz, (B, S).
            lengths: samples of each utterance, (B,).
            hidden: frames to replace behind the feature projection, where `transformers` puts its `masked_spec_embed`;
                None for none.

        Returns:
            L + 1 tensors (B, T, D), T = (S - 400) // 320 + 1, zero in the padding; and the frame lengths (B,).
        """
        # Known once on the CPU: without a mask, attention has faster kernels.
        padded = bool((lengths < waveform.shape[1]).any())
        waveform, lengths = at_least(waveform, lengths, self._shortest)
        features, frame_lengths = convolved(self.feature_extractor, waveform, lengths)
        own = frame_mask(frame_lengths, features.shape[1]) if padded else None  # (B, T)
        return EncoderOutput(hidden_states=self._transformed(features, own, hidden), frame_lengths=frame_lengths)

    def _transformed(self, features: Tensor, own: Tensor | None, hidden: HiddenFrames | None) -> tuple[Tensor, ...]:
        """Return the hidden states of features (B, T, C), of which `own` (B, T) are not padding."""
        column = own if own is None else own[:, :, None]  # (B, T, 1)
        x = _first(self.feature_projection(features))
        x = _masked(x if hidden is None else hidden.replace(x), column)
        x = x + positional(self.encoder.pos_conv_embed, x, column)
        x = self.encoder.dropout(x if self._stable else self.encoder.layer_norm(x))
        states = [x := _masked(x, column)]
        shared: dict[str, Any] = {"attention_mask": own if own is None or self._relative else own[:, None, None]}
        shared |= {"position_bias": None} if self._relative else {}
        for layer in self.layers:
            output = layer(x, **shared)
            if self._relative:  # the first layer makes the bias of relative positions, and the others take it over
                shared["position_bias"] = output[1]
            states.append(x := _masked(_first(output), column))
        if self._stable:
            states[-1] = _masked(self.encoder.layer_norm(x), column)
        return tuple(states)


def build_model(config: SSLConfig) -> nn.Module:
    """Return the bare model of `transformers` that an encoder's modules are taken from, with new weights.

    Raises:
        InputError: the architecture does not describe one.
    """
    from transformers import AutoModel

    configuration = model_configuration(config)
    relative = configuration.model_type == "wavlm"
    model = AutoModel.from_config(configuration, attn_implementation="eager" if relative else "sdpa")
    if relative:
        from sertool.core.models.wavlm_attention import replace_wavlm_attention

        replace_wavlm_attention(model)
    use_onednn(model)
    return model


def model_configuration(config: SSLConfig) -> Any:
    """Return the configuration `transformers` has for an encoder: its dropouts as asked for, what only heads use left.

    Raises:
        InputError: the architecture does not describe one.
    """
    from transformers import AutoConfig

    settings = {**checked_architecture(config.architecture), **NOT_BUILT}
    if config.dropout is not None:
        settings |= dict.fromkeys(DROPOUTS, config.dropout)
    return AutoConfig.for_model(**settings)


def _first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return a module's own output, whether or not it returns others beside it."""
    return output[0] if isinstance(output, tuple) else output


def _masked(x: Tensor, own: Tensor | None) -> Tensor:
    return x if own is None else x * own
