"""One utterance judged: recognised, enhanced and scored in every condition; one row for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from sertool.core.audio.files import SAMPLE_RATE, read_audio
from sertool.core.corpus.manifest import utterance_key
from sertool.core.corpus.mixing import Mixer, SilentNoiseError
from sertool.core.errors import AudioError, InputError
from sertool.core.evaluation.cache import ScoreCache, key_of
from sertool.core.evaluation.protocol import Protocol
from sertool.core.evaluation.stress import Stress, stress_rows
from sertool.core.evaluation.system import Listener, System
from sertool.core.evaluation.utterance import Heard, Utterance, as_called, conditions_of
from sertool.core.metrics.dnsmos import Dnsmos
from sertool.core.metrics.speech import score_pairs
from sertool.core.models.recognizer import Prediction

NO_REFERENCE = "there is no clean reference"
SIGNALS = ("unprocessed", "enhanced")
DIGITS = 6
"""Of speech measures: beyond these a value may depend on what it was reckoned beside."""


@dataclass(frozen=True)
class Judge:
    """What a process needs to judge utterances.

    Attributes:
        listener: the system judged.
        mixer: makes the mixtures; None where only clean speech or noisy audio is judged.
        snrs: SNRs in dB to mix at; None in it stands for clean speech.
        measures: speech measures, see `sertool.core.metrics.speech`; empty for none.
        dnsmos: what scores speech without a reference; None for nothing.
        stress: stress tests; None for none.
        cache: scores of earlier evaluations.
    """

    listener: Listener
    mixer: Mixer | None
    snrs: tuple[float | None, ...]
    measures: tuple[str, ...]
    dnsmos: Dnsmos | None = None
    stress: Stress | None = None
    cache: ScoreCache = field(default_factory=lambda: ScoreCache(None))

    @property
    def enhances(self) -> bool:
        """Whether enhanced speech is asked for, and so measured."""
        return bool(self.measures or self.dnsmos) and self.listener.enhances


def open_judge(system: System, protocol: Protocol, mixer: Mixer | None, measures: Sequence[str]) -> Judge:
    """Load the model once for this process. One thread each, so that sums do not depend on how many cores there are.

    Args:
        system: what is judged.
        protocol: how.
        mixer: of the protocol, see `Protocol.mixer`.
        measures: of those the protocol asks for, what the system can be scored by.
    """
    torch.set_num_threads(1)
    threadpool_limits(1)
    return Judge(
        *(system.open(), mixer, protocol.conditions),
        measures=tuple(name for name in measures if name in protocol.measures),
        dnsmos=protocol.dnsmos,
        stress=protocol.stress,
        cache=ScoreCache(protocol.cache),
    )


@dataclass(frozen=True)
class Judgement:
    """What came of judging one utterance.

    Attributes:
        rows: one for each condition, see `judge_utterance`; then one for each stress test, see `stress_rows`.
        found: scores that the cache did not know.
    """

    rows: list[dict[str, Any]]
    found: dict[str, Any]


def judge_utterance(utterance: Utterance, judge: Judge) -> Judgement:
    """Return one row for each condition an utterance is heard in.

    Each row holds `file` and the utterance's facts; `duration_s`, of what was heard; `snr_db` (None: clean),
    `noise_kind`, `noise_file`, `noise_offset_s`, `gain_db`, and those of `FURTHER_FACTS` that were asked for;
    `predicted` and `p_<category>`; `predicted_<attribute>`; `no_speech`: why no emotion should be named, see
    `Listener.speech_lacks`, else None (silence alone is found where the model does not enhance); and for each
    measure `unprocessed_<measure>`, `enhanced_<measure>`, and the same with `_unscored`: why there is no value, else
    None. The rows of stress tests also hold `stress` and `level`.

    Raises:
        AudioError: the audio or its clean reference cannot be read.
        InputError: the utterance is silent and cannot be mixed, or the model's output is not finite.
    """
    try:
        heard = conditions_of(utterance, judge.mixer, judge.snrs)
        answers = [_answer(one.samples, judge) for one in heard]
        measured = _measure(heard, answers, judge)
        rows = [
            {"file": utterance.file, **utterance.facts, "duration_s": len(one.samples) / SAMPLE_RATE, **one.facts}
            | answer.row
            | scores
            for one, answer, scores in zip(heard, answers, measured, strict=True)
        ]
        return Judgement(rows + _stressed(utterance, judge), judge.cache.drain())
    except SilentNoiseError:
        raise
    except AudioError as error:
        raise AudioError(as_called(str(error), utterance, judge.mixer)) from error
    except InputError as error:
        raise InputError(f"{utterance.file}: {error}") from error


@dataclass(frozen=True)
class _Answer:
    """What the system made of one condition: its part of the row, and the enhanced speech where that must be scored.

    The enhanced speech is known by its digest where the cache knew it; `enhanced` computes it.
    """

    row: dict[str, Any]
    digest: str | None
    enhanced: Callable[[], np.ndarray | None]


def _answer(samples: np.ndarray, judge: Judge) -> _Answer:
    key = key_of("heard", judge.listener.identity, judge.enhances, samples)
    known = judge.cache.get(key) if judge.listener.is_known else None
    if known is not None:
        return _Answer(known["row"], known["digest"], lambda: judge.listener.hear(samples, enhance=True)[1])
    prediction, enhanced = judge.listener.hear(samples, enhance=judge.enhances)
    if enhanced is None and prediction is not None:
        no_speech = prediction.no_speech  # found on the way already
    else:
        no_speech = judge.listener.speech_lacks(samples, enhanced)
    row = _predicted(prediction) | {"no_speech": no_speech}
    digest = None if enhanced is None else key_of(enhanced)
    if judge.listener.is_known:
        judge.cache.put(key, {"row": row, "digest": digest})
    return _Answer(row, digest, lambda: enhanced)


def _predicted(prediction: Prediction | None) -> dict[str, Any]:
    if prediction is None:
        return {}
    row: dict[str, Any] = {}
    if prediction.label is not None:
        row["predicted"] = prediction.label
        row |= {f"p_{name}": value for name, value in prediction.probabilities.items()}
    return row | {f"predicted_{name}": value for name, value in (prediction.attributes or {}).items()}


def _measure(heard: Sequence[Heard], answers: Sequence[_Answer], judge: Judge) -> list[dict[str, Any]]:
    """Return the measures of each condition, unprocessed and enhanced; all that is not cached in one batch."""
    if not judge.enhances:
        return [{} for _ in heard]
    rows: list[dict[str, Any]] = [{} for _ in heard]
    pending: list[tuple[int, str, str, np.ndarray | None, np.ndarray]] = []
    for place, (one, answer) in enumerate(zip(heard, answers, strict=True)):
        for signal in SIGNALS:
            estimate = key_of(one.samples) if signal == "unprocessed" else answer.digest
            clean = None if one.clean is None else key_of(one.clean)
            key = key_of("measures", list(judge.measures), judge.dnsmos and judge.dnsmos.digests, clean, estimate)
            if (known := judge.cache.get(key)) is not None:
                rows[place] |= {f"{signal}_{name}": value for name, value in known.items()}
            else:
                samples = one.samples if signal == "unprocessed" else answer.enhanced()
                pending.append((place, signal, key, one.clean, samples))
    with_reference = [item for item in pending if item[3] is not None]
    scores = score_pairs(
        [clean for *_, clean, _ in with_reference],
        [estimate for *_, estimate in with_reference],
        measures=judge.measures,
        device=judge.listener.recognizer.device,
    )
    by_key = {item[2]: one for item, one in zip(with_reference, scores, strict=True)}
    for place, signal, key, _, estimate in pending:
        unscored = {"reasons": dict.fromkeys(judge.measures, NO_REFERENCE)}
        found = _as_row(by_key.get(key, unscored), judge.measures)
        if judge.dnsmos is not None:
            found |= _as_row(judge.dnsmos.score(estimate, SAMPLE_RATE), judge.dnsmos.measures)
        judge.cache.put(key, found)
        rows[place] |= {f"{signal}_{name}": value for name, value in found.items()}
    return rows


def _as_row(scores: dict[str, Any], measures: Sequence[str]) -> dict[str, Any]:
    """Return scores and why there is none; to six digits, beyond which a value may depend on the batch."""
    row: dict[str, Any] = {}
    for measure in measures:
        value = scores.get(measure)
        row[measure] = None if value is None else round(value, DIGITS)
        row[f"{measure}_unscored"] = scores["reasons"].get(measure)
    return row


def _stressed(utterance: Utterance, judge: Judge) -> list[dict[str, Any]]:
    """Return the rows of the stress tests, which the utterance goes through as it is, before any noise."""
    if judge.stress is None:
        return []
    samples, name = read_audio(utterance.path), utterance_key(utterance.path)
    key = key_of("stress", judge.listener.identity, judge.stress.identity, name, samples)
    rows = judge.cache.get(key) if judge.listener.is_known else None
    if rows is None:
        rows = stress_rows(samples, name, judge.listener, judge.stress)
        if judge.listener.is_known:
            judge.cache.put(key, rows)
    return [{"file": utterance.file, **utterance.facts, **row} for row in rows]
