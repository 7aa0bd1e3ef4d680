"""A shared model that listens: to the emotion of an utterance, for its features, for its enhanced speech."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from sertool.core.audio.blocks import AudioSource, FileSource, audio_writer
from sertool.core.audio.files import SAMPLE_RATE, AudioInfo
from sertool.core.audio.streams import Survey, heard, survey, windows
from sertool.core.corpus.noise_stretch import SILENCE_DBFS
from sertool.core.errors import InputError
from sertool.core.models.abstention import (
    LOUD_DB,
    NOISE_ONLY,
    SILENCE_ONLY,
    STRETCH_S,
    WINDOW_S,
    loudest_stretch,
    no_speech,
    speech_presence,
)
from sertool.core.models.array_types import Audio, as_array, as_source, in_kind_of, in_shape_of
from sertool.core.models.dual_path_head import DualPathHead
from sertool.core.models.enhancing import Piece, at_own_rate
from sertool.core.models.long_dual_path import long_dual_path
from sertool.core.models.long_signals import (
    ONE_PASS,
    as_batch,
    gain_per_sample,
    long_enhanced,
    long_features,
    long_judgement,
)
from sertool.core.models.many import in_one_pass, predict_many
from sertool.core.models.output import Crop
from sertool.core.models.shared import SharedModel
from sertool.core.models.streaming import EnhancementStream
from sertool.core.models.upper_band import UpperBand

WINDOWS_AT_ONCE = 16
"""Windows of a timeline the model hears as one batch."""

LONGEST_HOP_S = 86_400.0
"""Seconds from one window of a timeline to the next at most, a day: of an endless one no sample could be counted."""


@dataclass(frozen=True)
class Prediction:
    """What a model hears in an utterance.

    Attributes:
        label: the most probable category; None where the model was trained for attributes alone.
        probabilities: category to probability, in the model's order, summing to 1; empty where label is None.
        attributes: attribute to value on the 1–7 scale; None where the model was not trained for them.
        model_id: which model said so, 12 hex digits.
        no_speech: why no emotion should be named, in words, see `sertool.core.models.abstention`; None where there is
            speech. What the model says is told all the same.
    """

    label: str | None
    probabilities: dict[str, float]
    attributes: dict[str, float] | None
    model_id: str
    no_speech: str | None = None


@dataclass(frozen=True)
class TimedPrediction:
    """What a model hears in a window of a recording, from `start_s` to `end_s` in seconds."""

    start_s: float
    end_s: float
    prediction: Prediction


class Recognizer:
    """A shared model in evaluation mode. Its methods may be called from several threads; they take turns.

    Attributes:
        model: the model, on `device`.
        folder: where it was read from.
        device: where it computes.
        model_id: the first 12 hex digits of the SHA-256 of its weights file.
    """

    def __init__(self, model: SharedModel, *, folder: Path, device: torch.device, model_id: str) -> None:
        self.model = model.to(device).eval()
        self.folder = folder
        self.device = device
        self.model_id = model_id
        self._turn = threading.Lock()

    def predict(self, samples: Audio, rate: int | None = None) -> Prediction:
        """Return the emotion of one utterance, heard as a whole; memory stays bounded however long it is.

        Args:
            samples: an array or a tensor, floating point, shape (S,) or (S, channels); or the name of an audio file; or
                a source. Channels are averaged.
            rate: of the samples, in Hz; resampled to 16 kHz where it is another. A file and a source state their own.

        Raises:
            InputError: the model has no emotion head, or the samples cannot be used, or lack a rate.
        """
        self._expect_emotion()
        source = as_source(samples, rate)
        whole = in_one_pass(source)
        if whole is not None:
            return self.predict_batch([whole])[0]
        judgement = long_judgement(self.model, source, survey(source, mono=True), self._turns)
        return self._predictions(*judgement, [self._lacks_speech_throughout(source)])[0]

    def predict_many(self, utterances: Iterable[Audio], rate: int | None = None) -> list[Prediction]:
        """Return the emotions of utterances, in order: what `predict` gives, but for rounding, sooner.

        Args:
            utterances: each as `predict` takes it; asked for a few at a time, as a generator may make them.
            rate: of all that are samples in memory, in Hz.

        Raises:
            InputError: as `predict`; the message counts the utterances from 0.
        """
        self._expect_emotion()
        return predict_many(self, utterances, rate)

    def hear(self, samples: np.ndarray) -> tuple[Prediction | None, np.ndarray | None]:
        """Return the emotion of one utterance at 16 kHz and its enhanced speech, from one pass where that is possible.

        Args:
            samples: shape (S,).

        Returns:
            What `predict` and `enhance` give; None for what the model was not trained for. Whether there is speech is
            told from all of it, where `predict` may have heard enough in its loudest seconds.

        Raises:
            InputError: as `predict`.
        """
        config, samples = self.model.config, as_array(samples)
        alone = not (config.emotion and config.enhances)
        if alone or len(samples) > ONE_PASS or not samples.any():
            prediction = self.predict(samples, SAMPLE_RATE) if config.emotion else None
            return prediction, self.enhance(samples, SAMPLE_RATE) if config.enhances else None
        waveform, lengths = as_batch(samples, self.device)
        with self._turn, torch.inference_mode():
            output = self.model(waveform, lengths)
            speech = self.model.speech_of(output, waveform, lengths)
        enhanced = speech.waveform[0].float().cpu().numpy()
        self._check_finite(enhanced)
        reason = speech_presence(samples, enhanced, threshold_db=config.speech_kept_db).reason
        return self._predictions(output.category_logits, output.attributes, [reason])[0], enhanced

    def predict_windows(
        self, samples: Audio, rate: int | None = None, *, window_s: float = 3.0, hop_s: float = 1.0
    ) -> Iterator[TimedPrediction]:
        """Yield the emotion of every window of a recording, each heard by itself, in constant memory.

        Windows begin every `hop_s`; the last one ends with the recording, wherever it then begins, so all windows are
        equally long and the end is heard. A recording shorter than a window is one window of its own length.

        Args:
            samples: as in `predict`.
            rate: as in `predict`.
            window_s: a window's length in seconds.
            hop_s: seconds from one window's start to the next one's.

        Raises:
            InputError: as `predict`; or a length is no window.
        """
        self._expect_emotion()
        for name, value, longest in (("window", window_s, ONE_PASS / SAMPLE_RATE), ("hop", hop_s, LONGEST_HOP_S)):
            if not 0.01 <= value <= longest:
                raise InputError(
                    f"{name} is {value:g} s; expected 0.01 s to {longest:g} s: choose another (without windows a file "
                    "is heard as a whole)"
                )
        source = as_source(samples, rate)
        chunks = (chunk[:, 0] for chunk in heard(source, mono=True))
        cut = windows(chunks, window=round(window_s * SAMPLE_RATE), hop=lambda k: round(k * hop_s * SAMPLE_RATE))
        return self._timeline(cut)

    def _timeline(self, cut: Iterator[tuple[int, np.ndarray]]) -> Iterator[TimedPrediction]:
        while batch := list(islice(cut, WINDOWS_AT_ONCE)):
            predictions = self.predict_batch([samples for _, samples in batch])
            for (start, samples), prediction in zip(batch, predictions, strict=True):
                yield TimedPrediction(start / SAMPLE_RATE, (start + len(samples)) / SAMPLE_RATE, prediction)

    def embed(
        self,
        samples: Audio,
        rate: int | None = None,
        *,
        layer: int | None = None,
        pool: bool = False,
        head: str = "emotion",
    ) -> np.ndarray | torch.Tensor:
        """Return the model's features of one utterance: at 50 Hz, or their mean.

        Args:
            samples: as in `predict`.
            rate: as in `predict`.
            layer: a hidden state of the encoder, 0 to L, or from the last one back, -1 to -(L + 1); None for the
                weighted sum over all of them.
            pool: return the mean over frames, summed in float64.
            head: whose layer sum, `emotion` or `enhancement`; they are the same where the sum is shared.

        Returns:
            float32, (T, D), frame t centred on second t / 50 (of an SSL encoder 12.5 ms later); or (D,). Of a tensor a
            tensor of its type, on its device.

        Raises:
            InputError: the model has no such hidden state or head, or the samples are not usable.
        """
        self.expect_features(layer=layer, head=head)
        source = as_source(samples, rate)
        found = survey(source, mono=True)
        if found.heard <= ONE_PASS:
            waveform, lengths = as_batch(_whole(source, mono=True)[:, 0], self.device)
            with self._turn, torch.inference_mode():
                frames = self.model.features(waveform, lengths, layer=layer, head=head)[0][0].float().cpu().numpy()
            parts = iter([frames])
        else:
            parts = long_features(self.model, source, found, self._turns, layer=layer, head=head)
        if not pool:
            frames = np.concatenate(list(parts))
            self._check_finite(frames)
            return in_kind_of(samples, frames)
        total, count = 0.0, 0
        for part in parts:
            self._check_finite(part)
            total, count = total + part.sum(axis=0, dtype=np.float64), count + len(part)
        return in_kind_of(samples, (total / count).astype(np.float32))

    def expect_features(self, *, layer: int | None, head: str) -> None:
        """Raise InputError where the model has no such hidden state, or no layer sum for such a head."""
        states, sums = self.model.encoder.num_states, list(self.model.layer_sums)
        if layer is not None and not -states <= layer < states:
            raise InputError(
                f"{self.folder}: has no hidden state {layer}; expected 0 to {states - 1}, or -1 to {-states} from the "
                "last one back: choose one of these"
            )
        # A hidden state is heard through a head's masks, where each has its own.
        known = list(self.model.config.mask_sets) if layer is not None else sums
        if "shared" not in known and head not in known:
            what = "masks" if layer is not None else "layer sum"
            raise InputError(f"{self.folder}: has no {what} for {head}; expected {' or '.join(known)}: choose that")

    def enhance(
        self,
        samples: Audio,
        rate: int | None = None,
        *,
        dry: float = 0.0,
        upper_band: UpperBand | str = UpperBand.DROP,
    ) -> np.ndarray | torch.Tensor:
        """Return the enhanced speech, with the input's rate, shape and level.

        Each channel is enhanced by itself: resampled to 16 kHz, masked by the model, resampled back. The model hears
        16 kHz audio; `upper_band` says what lies above 8 kHz. A recording of any length has the samples that one pass
        over all of it would give, but for rounding.

        Args:
            samples: an array or a tensor, floating point, shape (S,) or (S, channels), nominally in [-1, 1]; or the
                name of an audio file; or a source.
            rate: in Hz; a file and a source state their own.
            dry: share of the original in the result, from 0 (enhanced alone) to 1 (the original).
            upper_band: `drop` for nothing; `follow` for the original times the gain the mask gives 4 to 8 kHz, frame by
                frame, at most 1.

        Returns:
            Samples, float32, of the input's shape; (S, channels) of a file or a source. Of a tensor a tensor of its
            type, on its device.

        Raises:
            InputError: the model has no enhancement head, an option is out of range, or the samples are not usable.
        """
        how = self._check_enhancing(dry, upper_band)
        source = as_source(samples, rate)
        blocks = list(self._enhanced(source, survey(source), dry=dry, upper_band=how))
        return in_shape_of(samples, np.concatenate(blocks))

    def enhance_file(
        self, path: Path | str, target: Path | str, *, dry: float = 0.0, upper_band: UpperBand | str = UpperBand.DROP
    ) -> AudioInfo:
        """Enhance a file of any length into another, in constant memory; the samples are those of `enhance`.

        Args:
            path: any file libsndfile reads.
            target: `.wav` (float; RF64 beyond 4 GiB) or `.flac` (24 bits); appears when all of it is written.
            dry: as in `enhance`.
            upper_band: as in `enhance`.

        Returns:
            Frames, rate and channels of either file.

        Raises:
            InputError: as `enhance`; or one of the files cannot be used.
            OutputError: the target cannot be written, as on a full disk.
        """
        how = self._check_enhancing(dry, upper_band)
        source = FileSource(path)
        found = survey(source)
        with audio_writer(target, rate=source.rate, channels=source.channels, frames=found.frames) as write:
            for block in self._enhanced(source, found, dry=dry, upper_band=how):
                write(block)
        return AudioInfo(frames=found.frames, rate=source.rate, channels=source.channels)

    def stream(self, channels: int | None = None) -> EnhancementStream:
        """Return a stream that enhances audio at 16 kHz block by block, 32 ms behind; see `EnhancementStream`.

        Args:
            channels: of blocks (n, channels); None for blocks (n,).

        Raises:
            InputError: the model's enhancement head is not causal, or it has none.
        """
        return EnhancementStream(self.model, channels, turn=self._turns)

    def _enhanced(
        self, source: AudioSource, found: Survey, *, dry: float, upper_band: UpperBand
    ) -> Iterator[np.ndarray]:
        if found.heard <= ONE_PASS:
            pieces = self._enhanced_in_one_pass(source, found)
        else:
            dual_path = isinstance(self.model.enhancement_head, DualPathHead)
            pieces = (long_dual_path if dual_path else long_enhanced)(self.model, source, found, self._turns)
        for block in at_own_rate(pieces, source, found, dry=dry, upper_band=upper_band):
            self._check_finite(block)
            yield block

    def _enhanced_in_one_pass(self, source: AudioSource, found: Survey) -> Iterator[Piece]:
        original = _whole(source)
        enhanced, gains = np.zeros_like(original), np.zeros_like(original)
        for channel in np.flatnonzero(~found.silent):
            waveform, lengths = as_batch(original[:, channel], self.device)
            with self._turn:
                speech = self.model.estimate(waveform, lengths)
            enhanced[:, channel] = speech.waveform[0].float().cpu().numpy()
            gains[:, channel] = gain_per_sample(speech.top_octave_gain[0], waveform, speech.gain_hop)
        yield original, enhanced, gains

    def predict_batch(self, utterances: list[np.ndarray]) -> list[Prediction]:
        """Return the emotions of utterances (S_i,) at 16 kHz, none too long for one pass, as one batch."""
        rows = [torch.tensor(samples, dtype=torch.float32) for samples in utterances]
        waveform = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        # One frame is all the enhancement head is shown: its work, the larger part, would be thrown away.
        crop = Crop(starts=torch.zeros_like(lengths), num_frames=1)
        with self._turn, torch.inference_mode():
            output = self.model(waveform, lengths, crop)
        return self._predictions(output.category_logits, output.attributes, self._lacks_speech(utterances))

    def _lacks_speech(self, utterances: list[np.ndarray]) -> list[str | None]:
        """Return of each utterance why no emotion should be named, from its loudest seconds, or from all of it."""
        reasons = [no_speech(samples) for samples in utterances]
        if not self.model.config.enhances:
            return reasons
        stretches = {i: loudest_stretch(one) for i, one in enumerate(utterances) if reasons[i] is None}
        reasons = self._judged_by_what_is_kept(stretches, reasons)
        # One by one: those of a batch may be ten minutes together, which is gigabytes.
        for i, part in stretches.items():
            if reasons[i] and len(part) < len(utterances[i]):
                reasons = self._judged_by_what_is_kept({i: utterances[i]}, reasons)
        return reasons

    def _judged_by_what_is_kept(self, signals: dict[int, np.ndarray], reasons: list[str | None]) -> list[str | None]:
        """Return the reasons, those of some signals (S,) from what the enhancement head keeps of them."""
        if not signals:
            return reasons
        rows = [torch.tensor(samples, dtype=torch.float32) for samples in signals.values()]
        waveform = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
        with self._turn:
            enhanced = self.model.enhance(waveform, torch.tensor([len(row) for row in rows], device=self.device))
        enhanced = enhanced.float().cpu().numpy()
        self._check_finite(enhanced)
        threshold_db, told = self.model.config.speech_kept_db, list(reasons)
        for (i, samples), row in zip(signals.items(), enhanced, strict=True):
            told[i] = speech_presence(samples, row[: len(samples)], threshold_db=threshold_db).reason
        return told

    def _lacks_speech_throughout(self, source: AudioSource) -> str | None:
        """Return why no emotion should be named in a long recording, heard in stretches until there is speech."""

        def stretches() -> Iterator[np.ndarray]:
            chunks = (chunk[:, 0] for chunk in heard(source, mono=True))
            length, overlap = round(STRETCH_S * SAMPLE_RATE), round(WINDOW_S * SAMPLE_RATE)
            return (samples for _, samples in windows(chunks, window=length, hop=lambda k: k * (length - overlap)))

        levels_db = [speech_presence(samples).level_db for samples in stretches()]
        if max(levels_db) < SILENCE_DBFS:
            return SILENCE_ONLY
        for level_db, samples in zip(levels_db, stretches(), strict=True):
            if level_db >= max(levels_db) - LOUD_DB and self._lacks_speech([samples])[0] is None:
                return None
        return NOISE_ONLY

    def _predictions(
        self, logits: torch.Tensor | None, attributes: torch.Tensor | None, no_speech: list[str | None]
    ) -> list[Prediction]:
        config = self.model.config
        probabilities = logits.double().softmax(1).tolist() if config.categories else None
        values = attributes.double().tolist() if config.attributes else None
        predictions = []
        for row in range(len(probabilities or values)):
            shares = dict(zip(config.categories, probabilities[row], strict=True)) if probabilities else {}
            label = max(shares, key=shares.__getitem__) if shares else None
            rated = dict(zip(config.attributes, values[row], strict=True)) if values else None
            self._check_finite(np.array([*shares.values(), *(rated or {}).values()]))
            predictions.append(Prediction(label, shares, rated, self.model_id, no_speech[row]))
        return predictions

    def _check_finite(self, values: np.ndarray) -> None:
        """Raise InputError where the model's weights, numbers each, led to what is none."""
        if not np.isfinite(values).all():
            raise InputError(
                f"{self.folder}: what the model says is not a number; expected weights that can be used: train it "
                "again, or choose another model"
            )

    def _turns(self) -> threading.Lock:
        return self._turn

    def _expect_emotion(self) -> None:
        if self.model.config.emotion is None:
            raise InputError(f"{self.folder}: this model was not trained for emotion: name a run of `sertool train`")

    def _check_enhancing(self, dry: float, upper_band: UpperBand | str) -> UpperBand:
        if not self.model.config.enhances:
            raise InputError(
                f"{self.folder}: this model was not trained to enhance speech: name a run that was, with --model"
            )
        if not 0.0 <= dry <= 1.0:
            raise InputError(
                f"dry share is {dry}; expected 0 (enhanced alone) to 1 (the original): choose a number between"
            )
        if upper_band not in list(UpperBand):
            raise InputError(f"upper band is '{upper_band}'; expected {' or '.join(UpperBand)}: choose one of these")
        return UpperBand(upper_band)


def _whole(source: AudioSource, *, mono: bool = False) -> np.ndarray:
    return np.concatenate(list(heard(source, mono=mono)))
