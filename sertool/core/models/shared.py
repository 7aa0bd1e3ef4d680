"""The shared model: one encoder, its layer sum, an emotion head and an enhancement head (Tzeng et al., ICASSP 2025)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from sertool.core.audio.spectra import (
    LOG_OFFSET,
    N_FFT,
    NUM_BINS,
    Statistics,
    centred_stft,
    inverse_stft,
    log_magnitude,
    standardise,
    stft_frames,
    utterance_statistics,
)
from sertool.core.errors import InputError
from sertool.core.models.adaptation import adapt_encoder, base_name, is_adapter, select_masks
from sertool.core.models.config import DualPathConfig, EmotionConfig, SharedConfig, UtteranceTask
from sertool.core.models.dual_path_head import DualPathHead
from sertool.core.models.emotion_head import EmotionHead
from sertool.core.models.encoder import Encoder, HiddenFrames, build_encoder
from sertool.core.models.enhancement_head import EnhancementHead, repeat_to_spectrum
from sertool.core.models.layer_sum import LayerSum
from sertool.core.models.masked_head import MaskedHead
from sertool.core.models.masked_linear import SCORES, kept_connections
from sertool.core.models.output import (
    Crop,
    EnhancedSpectra,
    EnhancedSpeech,
    SharedOutput,
    crop_frames,
    cropped_lengths,
)
from sertool.core.models.storage import load_tensors, read_config, save_model

LAST_STATE = "last"
"""Among the features of the heads, the encoder's last hidden state: what masked prediction goes by, as in HuBERT."""


class SharedModel(nn.Module):
    """Emotion and enhanced speech from the features of one encoder."""

    def __init__(self, config: SharedConfig, encoder: Encoder | None = None) -> None:
        """Build the heads over an encoder, which is adapted in place; over a new one where none is given.

        Args:
            config: of the whole.
            encoder: as `config.encoder` says, with the weights that an adaptation starts from.

        Raises:
            InputError: the encoder has no layers of the kind that is to be adapted.
        """
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config.encoder) if encoder is None else encoder
        sums = config.heads if config.layer_sum == "per-head" else ("shared",)
        self.layer_sums = nn.ModuleDict({name: LayerSum(self.encoder.num_states, self.encoder.dim) for name in sums})
        self.emotion_head = EmotionHead(self.encoder.dim, config.emotion) if config.emotion else None
        self.enhancement_head = None
        if config.enhancement:
            kind = DualPathHead if isinstance(config.enhancement, DualPathConfig) else EnhancementHead
            self.enhancement_head = kind(self.encoder.dim, config.enhancement)
        self.pretext_heads = nn.ModuleDict({task.name: _task_head(self.encoder.dim, task) for task in config.pretext})
        self.masked_head = MaskedHead(self.encoder.dim, config.masked) if config.masked else None
        with torch.device("cpu"):  # on the meta device torch makes windows by its compiler, slow to import
            self.register_buffer("window", torch.hamming_window(N_FFT))
        adapt_encoder(self.encoder, config.adapt, config.mask_sets)

    def forward(
        self,
        waveform: Tensor,
        lengths: Tensor,
        crop: Crop | None = None,
        statistics: Statistics | None = None,
        hidden_frames: Tensor | None = None,
    ) -> SharedOutput:
        """Recognise emotion and estimate the clean spectrum.

        Args:
            waveform: samples at 16 kHz, any level, (B, S).
            lengths: samples of each utterance, (B,), at least 1.
            crop: the part of the spectrum to enhance, for training; all of it without.
            statistics: what to standardise with, where the waveforms are pieces of longer ones; their own without.
            hidden_frames: frames at 50 Hz to hide from the encoder and to predict, bool, (B, T'); all heads then judge
                by what is left.
        """
        statistics = statistics or utterance_statistics(waveform, lengths)
        hidden = None if hidden_frames is None else HiddenFrames(hidden_frames, self.masked_head.hidden_vector)
        features, frame_lengths = {}, None
        if self.config.hears_encoder:
            features, frame_lengths = self._encode(waveform, lengths, statistics, self.config.heads, hidden)
        logits = attributes = noisy = enhanced = spectra = None
        spectrum_lengths = stft_frames(lengths)
        if self.emotion_head:
            logits, attributes = self.emotion_head(features["emotion"], frame_lengths)
        if isinstance(self.enhancement_head, DualPathHead):
            own = (features["enhancement"], frame_lengths) if "enhancement" in features else None
            spectra = self.enhancement_head(waveform, lengths, statistics, own, crop)
            spectrum_lengths = spectra.frame_lengths
        elif self.enhancement_head:
            noisy = self.log_spectrum(standardise(waveform, lengths, statistics), lengths)
            own = repeat_to_spectrum(features["enhancement"], frame_lengths, noisy.shape[1])
            if crop:
                spectrum_lengths = cropped_lengths(spectrum_lengths, crop)
                noisy, own = crop_frames(noisy, crop), crop_frames(own, crop)
            enhanced = self.enhancement_head(noisy, own, spectrum_lengths).float() * noisy
        return SharedOutput(
            *(logits, attributes, noisy, enhanced, spectrum_lengths, statistics),
            pretext_logits={name: head(features[name], frame_lengths)[0] for name, head in self.pretext_heads.items()},
            cluster_logits=None if hidden is None else self.masked_head(features[LAST_STATE]),
            spectra=spectra,
        )

    def choose_among(self, categories: Iterable[str]) -> None:
        """Let the model name only these of its categories from now on; their probabilities sum to 1.

        Raises:
            InputError: it does not know one, or there are fewer than two.
        """
        known, wanted = self.config.categories, set(categories)
        if not known:
            raise InputError("the model names no categories; expected one that does: choose another, or leave them out")
        if odd := sorted(wanted - set(known)):
            raise InputError(
                f"the model does not know '{odd[0][:80]}'; expected some of {', '.join(known)}: choose among these"
            )
        if len(wanted) < 2:
            raise InputError(f"{len(wanted)} category to choose among; expected two or more: name another")
        kept = [place for place, name in enumerate(known) if name in wanted]
        self.emotion_head.keep_categories(kept)
        emotion = self.config.emotion.model_copy(update={"categories": tuple(known[place] for place in kept)})
        self.config = self.config.model_copy(update={"emotion": emotion})

    def pooling_heads(self) -> dict[str, EmotionHead]:
        """Return the heads that pool an utterance's frames, by name: emotion, and those of pre-training tasks."""
        emotion = {"emotion": self.emotion_head} if self.emotion_head else {}
        return {**emotion, **self.pretext_heads}

    def pool(self, waveform: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return what each pooling head pools of waveforms (B, S), before it is standardised, (B, P)."""
        statistics = utterance_statistics(waveform, lengths)
        heads = self.pooling_heads()
        features, frame_lengths = self._encode(waveform, lengths, statistics, tuple(heads))
        return {name: head.pooling(features[name], frame_lengths) for name, head in heads.items()}

    def features(
        self,
        waveform: Tensor,
        lengths: Tensor,
        *,
        layer: int | None = None,
        head: str = "emotion",
        statistics: Statistics | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return what the model knows of each frame: a head's layer sum, or one hidden state of the encoder.

        Args:
            waveform: samples at 16 kHz, any level, (B, S).
            lengths: samples of each utterance, (B,), at least 1.
            layer: which hidden state, 0 to L, or from the last one back: -1 to -(L + 1); None for the layer sum.
            head: whose layer sum, `emotion` or `enhancement`; they are the same where the sum is shared.
            statistics: as in `forward`.

        Returns:
            (B, T, D) at 50 Hz, arbitrary in the padding; and each utterance's own frames, (B,).
        """
        statistics = statistics or utterance_statistics(waveform, lengths)
        if layer is None:
            features, frame_lengths = self._encode(waveform, lengths, statistics, (head,))
            return features[head], frame_lengths
        select_masks(self.encoder, head)
        encoded = self.encoder(self.encoder.prepare(waveform, lengths, statistics), lengths)
        return encoded.hidden_states[layer], encoded.frame_lengths

    def _encode(
        self,
        waveform: Tensor,
        lengths: Tensor,
        statistics: Statistics,
        heads: tuple[str, ...],
        hidden: HiddenFrames | None = None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return each head's features (B, T, D), and the frames of each utterance, (B,).

        The encoder is gone through once, or once a head where each has masks of its own. Where frames are hidden, its
        last hidden state is given back too.
        """
        prepared = self.encoder.prepare(waveform, lengths, statistics)
        features: dict[str, Tensor] = {}
        encoded = summed = None
        if hidden is not None or not heads:
            encoded = self.encoder(prepared, lengths, hidden)
            features[LAST_STATE] = encoded.hidden_states[-1]
        for head in heads:
            if encoded is None or len(self.config.mask_sets) > 1:
                select_masks(self.encoder, head)
                encoded = self.encoder(prepared, lengths)
            if "shared" in self.layer_sums and summed is not None and len(self.config.mask_sets) == 1:
                features[head] = summed
            else:
                layer_sum = self.layer_sums["shared" if "shared" in self.layer_sums else head]
                features[head] = summed = layer_sum(encoded.hidden_states)
        return features, encoded.frame_lengths

    def log_spectrum(self, standardised: Tensor, lengths: Tensor) -> Tensor:
        """Return the log1p magnitude of standardised waveforms (B, S), shape (B, T, 201)."""
        with torch.autocast(standardised.device.type, enabled=False):
            return log_magnitude(centred_stft(standardised.float(), lengths, self.window))

    def clean_log_spectrum(self, clean: Tensor, lengths: Tensor, statistics: Statistics, crop: Crop | None) -> Tensor:
        """Return the target of the enhancement head: the clean speech, standardised with the *noisy* statistics."""
        spectrum = self.log_spectrum(standardise(clean, lengths, statistics), lengths)
        return crop_frames(spectrum, crop) if crop else spectrum

    def enhance(self, waveform: Tensor, lengths: Tensor, statistics: Statistics | None = None) -> Tensor:
        """Return the enhanced speech alone, (B, S); see `estimate`."""
        return self.estimate(waveform, lengths, statistics).waveform

    @torch.inference_mode()
    def estimate(self, waveform: Tensor, lengths: Tensor, statistics: Statistics | None = None) -> EnhancedSpeech:
        """Return the enhanced speech at the input's level: the masked magnitude with the noisy phase, or what a complex
        mask leaves.

        Args:
            waveform: samples at 16 kHz, (B, S).
            lengths: samples of each utterance, (B,).
            statistics: as in `forward`.

        Returns:
            The speech, at 16 kHz.

        Raises:
            ValueError: the model has no enhancement head.
        """
        if self.enhancement_head is None:
            raise ValueError("this model has no enhancement head: train it with the task 'enhancement'")
        if isinstance(self.enhancement_head, DualPathHead):
            return self.enhancement_head.speech(
                self._spectra(waveform, lengths, statistics), lengths, waveform.shape[1]
            )
        return self.speech_of(self(waveform, lengths, statistics=statistics), waveform, lengths)

    def _spectra(self, waveform: Tensor, lengths: Tensor, statistics: Statistics | None) -> EnhancedSpectra:
        """Return what the dual-path head says of waveforms, without asking any other head."""
        statistics = statistics or utterance_statistics(waveform, lengths)
        own = None
        if self.config.enhancement.hears_encoder:
            own = self.features(waveform, lengths, head="enhancement", statistics=statistics)
        return self.enhancement_head(waveform, lengths, statistics, own)

    @torch.inference_mode()
    def speech_of(self, output: SharedOutput, waveform: Tensor, lengths: Tensor) -> EnhancedSpeech:
        """Return the enhanced speech in an output of `forward`, uncropped, of the waveforms (B, S) it was made from."""
        if output.spectra is not None:
            return self.enhancement_head.speech(output.spectra, lengths, waveform.shape[1])
        return self._speech(waveform, lengths, output.enhanced_log_spectrum, output.statistics)

    @torch.inference_mode()
    def recurrent_input(self, waveform: Tensor, lengths: Tensor, statistics: Statistics) -> Tensor:
        """Return what the recurrent layers of the enhancement head are given of waveforms (B, S), (B, T, P) at 100 Hz.

        With `masked`, the two halves of `estimate` for signals too long for one pass.
        """
        noisy = self.log_spectrum(standardise(waveform, lengths, statistics), lengths)
        features, frame_lengths = self.features(waveform, lengths, head="enhancement", statistics=statistics)
        own = repeat_to_spectrum(features, frame_lengths, noisy.shape[1])
        return self.enhancement_head.recurrent_input(noisy, own)

    @torch.inference_mode()
    def masked(self, waveform: Tensor, lengths: Tensor, mask: Tensor, statistics: Statistics) -> EnhancedSpeech:
        """Return the speech that a mask (B, T, 201) leaves of waveforms (B, S)."""
        noisy = self.log_spectrum(standardise(waveform, lengths, statistics), lengths)
        return self._speech(waveform, lengths, mask.float() * noisy, statistics)

    def _speech(
        self, waveform: Tensor, lengths: Tensor, enhanced_log_spectrum: Tensor, statistics: Statistics
    ) -> EnhancedSpeech:
        """Return the waveform with this magnitude and the noisy phase."""
        spectrum = centred_stft(standardise(waveform, lengths, statistics), lengths, self.window)
        magnitude = (torch.expm1(enhanced_log_spectrum) - LOG_OFFSET).clamp(min=0.0)
        enhanced = torch.polar(magnitude, spectrum.angle())
        samples = inverse_stft(enhanced, lengths, self.window, waveform.shape[1]) * statistics.std
        return EnhancedSpeech(waveform=samples, top_octave_gain=_top_octave_gain(magnitude, spectrum.abs()))

    def base_names(self) -> dict[str, str]:
        """Return the names of the tensors that are read from the base, each with its name there."""
        if self.config.base is None:
            return {}
        encoder = self.encoder.state_dict(keep_vars=True)
        names = [name for name in encoder if not is_adapter(name)]
        if self.config.adapt.how == "full":
            resting = {id(tensor) for part in self.encoder.parts()["front-end"] for tensor in part.parameters()}
            names = [name for name in names if id(encoder[name]) in resting]
        return {f"encoder.{name}": base_name(name) for name in names}

    def own_state(self) -> dict[str, Tensor]:
        """Return the tensors that are stored: all but those that are read from the base."""
        base = self.base_names()
        return {name: tensor for name, tensor in self.state_dict().items() if name not in base}

    def load_own_state(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `own_state` returned; what comes from the base stays as it is.

        Raises:
            RuntimeError: names or shapes differ.
        """
        kept = {name: tensor for name, tensor in self.state_dict().items() if name in self.base_names()}
        self.load_state_dict({**kept, **tensors})

    def save_pretrained(self, folder) -> None:
        """Write `config.json` and `model.safetensors` to a folder, each whole or not at all."""
        save_model(self.own_state(), self.config, folder)

    @classmethod
    def from_pretrained(cls, folder) -> "SharedModel":
        """Return the model a folder holds, in evaluation mode.

        Raises:
            InputError: the folder holds no model of this kind, or one whose weights do not fit its configuration; or
                the encoder it was adapted from is not the one it was.
        """
        config = read_config(folder)
        try:
            with torch.device("meta"):
                model = cls(config)
        except InputError as error:
            raise InputError(f"{folder}: {error}") from error
        tensors = load_tensors(folder, model.own_state())
        if config.base:
            from sertool.core.models.base import read_base  # which reads models itself: a base may be one of ours

            base = read_base(config.base)
            missing = [name for name in model.base_names().values() if name not in base]
            if missing:
                raise InputError(
                    f"{config.base.name}: has no '{missing[0][:80]}'; expected the encoder this model was adapted "
                    "from: restore it, or train again"
                )
            tensors |= {name: base[there] for name, there in model.base_names().items()}
        _expect_masks(tensors, config)
        model.load_state_dict(tensors, assign=True)
        return model.eval()


def _task_head(dim: int, task: UtteranceTask) -> EmotionHead:
    """Return the small head of a pre-training task, which is an emotion head over other classes."""
    return EmotionHead(dim, EmotionConfig(categories=task.classes, hidden=task.hidden, dropout=task.dropout))


def _expect_masks(tensors: dict[str, Tensor], config: SharedConfig) -> None:
    """Raise InputError where a stored mask keeps another number of connections than its sparsity says."""
    for name, tensor in tensors.items():
        if SCORES in name and int(tensor.count_nonzero()) != kept_connections(
            tensor.numel(), config.adapt.router.sparsity
        ):
            raise InputError(
                f"mask '{name[:80]}' keeps {int(tensor.count_nonzero())} of {tensor.numel()} connections; expected a "
                f"sparsity of {config.adapt.router.sparsity:g}: copy model.safetensors and config.json from one run"
            )


def _top_octave_gain(enhanced: Tensor, noisy: Tensor) -> Tensor:
    """Return the mean gain of the mask over the upper half of the bins, each weighed by its magnitude, (B, T)."""
    upper = slice(NUM_BINS // 2, None)
    return (enhanced[:, :, upper].sum(2) / noisy[:, :, upper].sum(2).clamp(min=1e-12)).clamp(max=1.0)
