"""What a comparison comes to, in one plain sentence."""

from collections.abc import Sequence
from typing import Any

from sertool.core.metrics.speaker_confusions import FEWEST_SPEAKERS

BETTER = "better"
WORSE = "worse"
CANNOT_TELL = "cannot tell"
_SIGNS = {BETTER: 1, WORSE: -1}


def verdict_sentence(
    records: Sequence[dict[str, Any]], *, baseline: str, trainings: int, left_out: Sequence[str] = ()
) -> str:
    """Return one sentence over all conditions: where a system is better, where worse, and where nobody can tell.

    Args:
        records: of the conditions, in order: `condition`, `speakers`, `unknown`, `verdict`, `difference_ua`.
        baseline: what the other system is called.
        trainings: of each system.
        left_out: conditions only one of the two was heard in.
    """
    words = {BETTER: f"better than {baseline}", WORSE: f"worse than {baseline}", CANNOT_TELL: "cannot tell"}
    places = {verdict: [one["condition"] for one in records if one["verdict"] == verdict] for verdict in (*words, None)}
    parts = [f"{words[verdict]} {_at(places[verdict])}" for verdict in words if places[verdict]]
    basis = [_speakers([one for one in records if one["verdict"]] or records)]
    if parts:
        if not (places[BETTER] or places[WORSE]):
            parts[0] += f" whether better or worse than {baseline}"
        if places[None]:
            parts.append(f"no verdict {_at(places[None])}, for lack of speakers")
        basis.append("F1-macro; sign-flip test over speakers, Holm")
    else:
        parts = [f"no verdict against {baseline}: {basis.pop()}; {FEWEST_SPEAKERS} known ones are needed for one"]
    if against := [one["condition"] for one in records if one["verdict"] in _SIGNS and _ua_disagrees(one)]:
        basis.append(f"UA moves the other way {_at(against)}")
    basis.append(_trainings(trainings))
    if left_out:
        basis.append(f"not compared {_at(left_out)}, which only one of the two was heard in")
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]} ({'; '.join(basis)})."


def _ua_disagrees(record: dict[str, Any]) -> bool:
    return record.get("difference_ua") is not None and record["difference_ua"] * _SIGNS[record["verdict"]] < 0


def _at(conditions: Sequence[str]) -> str:
    """Return where: "on clean speech and at 5 and 0 dB"."""
    clean = ["on clean speech"] if "clean" in conditions else []
    noisy = [name for name in conditions if name != "clean"]
    # "20 dB, 10 dB" is said "20 and 10 dB".
    if all(name.endswith(" dB") for name in noisy):
        noisy = [name.removesuffix(" dB") for name in noisy[:-1]] + noisy[-1:]
    return " and ".join(clean + ([f"at {_listed(noisy)}"] if noisy else []))


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _speakers(records: Sequence[dict[str, Any]]) -> str:
    """Return how many speakers were heard, from fewest to most where conditions differ."""
    least, most = (end(record["speakers"] for record in records) for end in (min, max))
    words = f"{most} test speaker{'s' * (most != 1)}" if least == most else f"{least} to {most} test speakers"
    if unknown := max(record["unknown"] for record in records):
        words += f" and {unknown} utterance{'s' * (unknown != 1)} of unknown speakers, each for itself"
    return words


def _trainings(trainings: int) -> str:
    if trainings == 1:
        return "one training each: speaks of these two trainings, not of the methods"
    return f"mean of {trainings} trainings each"
