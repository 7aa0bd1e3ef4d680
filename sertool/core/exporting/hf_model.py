"""A shared model under the interface of `transformers`: what `AutoModel.from_pretrained` makes of an exported folder.

This file may be copied into such a folder by `transformers` itself; so it imports by full names.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.errors import InputError
from sertool.core.models.config import SharedConfig
from sertool.core.models.output import Crop
from sertool.core.models.shared import SharedModel

MODEL_TYPE = "sertool"


class SertoolConfig(PreTrainedConfig):
    """What a shared model is made of, under `sertool`; its categories are `id2label`."""

    model_type = MODEL_TYPE

    def __init__(self, sertool: dict[str, Any] | None = None, sampling_rate: int = SAMPLE_RATE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sertool = sertool
        self.sampling_rate = sampling_rate


@dataclass
class SertoolOutput(ModelOutput):
    """What the model says of a batch; None where it has no such head, or was not asked.

    Attributes:
        logits: of the categories, (B, C).
        attributes: (B, A), on the 1–7 scale, in the order of `config.sertool["emotion"]["attributes"]`.
        enhanced: the enhanced speech, (B, S).
    """

    logits: Tensor | None = None
    attributes: Tensor | None = None
    enhanced: Tensor | None = None


class SertoolModel(PreTrainedModel):
    """A shared model of sertool, in float32.

    Attributes:
        shared: the model itself.
    """

    config_class = SertoolConfig
    base_model_prefix = "shared"  # in the file, tensors are named without it, as sertool names them
    main_input_name = "input_values"

    def __init__(self, config: SertoolConfig) -> None:
        super().__init__(config)
        self.shared = SharedModel(SharedConfig.model_validate(config.sertool))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave weights as their modules have drawn them."""

    @classmethod
    def from_pretrained(cls, *args: Any, output_loading_info: bool = False, **kwargs: Any) -> Any:
        """Return the model of a folder or a name on the hub, in evaluation mode.

        Raises:
            InputError: its weights do not fit its configuration.
        """
        model, info = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        wrong = [*info["missing_keys"], *info["unexpected_keys"], *(name for name, *_ in info["mismatched_keys"])]
        if wrong:
            raise InputError(
                f"model.safetensors does not fit config.json ({len(wrong)} tensors differ, first '{min(wrong)[:80]}'): "
                "copy both from one export"
            )
        return (model, info) if output_loading_info else model

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        return_enhanced: bool | None = None,
        **kwargs: Any,
    ) -> SertoolOutput:
        """Recognise emotion, and enhance speech where that is asked for.

        Args:
            input_values: samples at 16 kHz, nominally in [-1, 1], (B, S).
            attention_mask: which samples are an utterance's own, (B, S), those in front; all of them without.
            return_enhanced: whether to give back the enhanced speech, most of the work; without, where the model does
                nothing else.
            **kwargs: what else `transformers` hands over; not used.
        """
        waveform, lengths = self._heard(input_values, attention_mask)
        config = self.shared.config
        wanted = return_enhanced if return_enhanced is not None else not config.emotion
        # One frame is all the enhancement head is shown where its work would be thrown away.
        crop = None if wanted else Crop(starts=torch.zeros_like(lengths), num_frames=1)
        output = self.shared(waveform, lengths, crop)
        enhanced = self.shared.speech_of(output, waveform, lengths).waveform if wanted and config.enhances else None
        return SertoolOutput(logits=output.category_logits, attributes=output.attributes, enhanced=enhanced)

    def enhance(self, input_values: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the enhanced speech alone, (B, S); arguments as in `forward`.

        Raises:
            ValueError: the model has no enhancement head.
        """
        return self.shared.enhance(*self._heard(input_values, attention_mask))

    def save_pretrained(self, save_directory: Path | str, **kwargs: Any) -> None:
        """Write the model to a folder again, as `sertool export --format hf` does; other arguments are not used."""
        from sertool.core.exporting.hf_folder import write_model

        write_model(self.shared, save_directory)

    def _heard(self, input_values: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.dtype != torch.float32:
            raise ValueError(f"weights are {self.dtype}; expected float32: load the model without dtype")
        if attention_mask is None:
            attention_mask = torch.ones_like(input_values, dtype=torch.long)
        return input_values, attention_mask.sum(1)
