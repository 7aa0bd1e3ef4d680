"""What a model must not have heard: test utterances among the audio it learned from, test noise among its noise."""

from collections.abc import Sequence

from sertool.core.audio.files import audio_digest
from sertool.core.corpus.babble import BabbleSet
from sertool.core.corpus.noise import NoiseSet
from sertool.core.engine import map_tasks
from sertool.core.errors import InputError
from sertool.core.evaluation.utterance import Utterance
from sertool.core.models.inference import Recognizer
from sertool.core.training.run import Run, open_run

_FILES_A_WORKER = 2000  # fewer are digested sooner than another process starts


def run_of(recognizer: Recognizer) -> Run | None:
    """Return the run a model comes from; None for a model folder by itself, which says nothing of its training."""
    run = open_run(recognizer.folder)
    return run if run.record else None


def find_seen(
    utterances: Sequence[Utterance], seen_audio: frozenset[str], *, workers: int = 1
) -> tuple[Utterance, ...]:
    """Return the utterances whose audio, clean reference, or speech before it was mixed, a model learned from.

    Files that cannot be read are passed over here: judging them reports them.

    Args:
        utterances: to be judged.
        seen_audio: digests from the run, see `audio_digest`.
        workers: processes at most.
    """
    if not seen_audio:
        return ()
    owners = [(utterance, path) for utterance in utterances for path in (utterance.path, utterance.clean_path) if path]
    workers = min(workers, 1 + len(owners) // _FILES_A_WORKER)
    digests = map_tasks(audio_digest, [path for _, path in owners], workers=workers)
    seen = {
        utterance.file
        for (utterance, _), outcome in zip(owners, digests, strict=True)
        if outcome.error is None and outcome.value in seen_audio
    }
    seen |= {utterance.file for utterance in utterances if utterance.clean_digest in seen_audio}
    return tuple(utterance for utterance in utterances if utterance.file in seen)


def refuse_seen(seen: Sequence[Utterance], total: int) -> None:
    """Stop where a model has learned from test utterances.

    Raises:
        InputError: it has; the message counts them and names the first.
    """
    if seen:
        raise InputError(
            f"the model learned from {len(seen)} of the {total} test utterances, first {seen[0].file}; expected none, "
            "or the scores would flatter it: choose another split or model, or say --allow-seen to go on all the same"
        )


def refuse_heard_noise(
    noise: NoiseSet | None, run: Run | None, *, babble: BabbleSet | None = None, workers: int = 1
) -> None:
    """Stop where test noise shares a kind (by name, whatever the case) or a recording (by its bytes) with training.

    Babble of talkers is compared by its speech rather than by its kind: none of it may be among the audio the model
    learned from, be it as babble or as speech.

    Args:
        noise: recordings of test noise; None where babble is the only noise.
        run: the model's.
        babble: test babble, if any.
        workers: processes at most.

    Raises:
        InputError: it does, or the model does not say what noise it was trained with.
    """
    if run is None:
        raise InputError("the model's folder does not tell its training noise; expected a run: name one with --model")
    trained_kinds = {str(kind).casefold() for kind in run.noise["kinds"]}
    trained_files = set(run.noise["file_digests"])
    found: dict[str, list[str]] = {}
    if noise is not None:
        found["kinds"] = [kind for kind in noise.kinds if kind.casefold() in trained_kinds]
        found["recordings"] = [name for name, digest in noise.file_digests().items() if digest in trained_files]
    if babble is not None:
        talking = [Utterance(file=file.name, path=file.path) for file in babble.files]
        found["utterances of babble"] = [one.file for one in find_seen(talking, run.seen_audio, workers=workers)]
    if any(found.values()):
        shared = [f"{len(names)} {what} (first {names[0]})" for what, names in found.items() if names]
        raise InputError(
            f"the test noise shares {' and '.join(shared)} with the noise {run.folder.name} was trained with; expected "
            "nothing in common: take other noise, other --kind, or leave --unseen-noise out"
        )
