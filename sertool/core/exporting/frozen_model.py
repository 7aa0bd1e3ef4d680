"""A shared model in the form that is exported: a waveform in, named outputs, no padding and no complex numbers."""

from torch import Tensor, nn

from sertool.core.exporting.frozen_encoders import frozen
from sertool.core.exporting.frozen_heads import FrozenEmotion, frozen_speech
from sertool.core.models.shared import SharedModel

ENHANCED, PROBABILITIES, ATTRIBUTES = "enhanced", "probabilities", "attributes"
"""What the outputs are called."""


class FrozenModel(nn.Module):
    """Maps waveforms at 16 kHz (B, S), S the length of each, to a tuple of what the model has; see `names`.

    Attributes:
        names: of the outputs, in order: `enhanced` (B, S), `probabilities` (B, C), `attributes` (B, A).
    """

    def __init__(self, model: SharedModel) -> None:
        """Take the parts of a model, which stays as it is.

        Raises:
            InputError: a part has no form that can be exported yet.
        """
        super().__init__()
        config = model.config
        self.heads = tuple(head for head in ("emotion", "enhancement") if head in config.heads)
        each = len(config.mask_sets) > 1
        self.encoders = nn.ModuleDict({head: frozen(model.encoder, head) for head in self.heads[: None if each else 1]})
        self.layer_sums = model.layer_sums
        self.emotion = FrozenEmotion(model.emotion_head) if config.emotion else None
        self.speech = frozen_speech(model) if config.enhances else None
        said = [PROBABILITIES] * bool(config.categories) + [ATTRIBUTES] * bool(config.attributes)
        self.names = [ENHANCED] * config.enhances + said
        self.eval()

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs."""
        mean = waveform.mean(1, keepdim=True)
        std = (waveform - mean).square().mean(1, keepdim=True).sqrt()
        features = self._features(waveform, mean, std)
        enhanced = [self.speech(waveform, features.get("enhancement"), mean, std)] if self.speech else []
        said = self.emotion(features["emotion"]) if self.emotion else []
        return (*enhanced, *said)

    def _features(self, waveform: Tensor, mean: Tensor, std: Tensor) -> dict[str, Tensor]:
        features: dict[str, Tensor] = {}
        states: tuple[Tensor, ...] = ()
        for head in self.heads:
            if head in self.encoders:
                states = self.encoders[head](waveform, mean, std)
            name = "shared" if "shared" in self.layer_sums else head
            if name == "shared" and features and head not in self.encoders:
                features[head] = features[self.heads[0]]
            else:
                features[head] = self.layer_sums[name](states)
        return features
