"""Numbers and names as the page writes them, and where a document has them."""

from collections.abc import Iterator, Sequence
from typing import Any

from sertool.core.evaluation.scores import CLEAN
from sertool.core.evaluation.tables import MEASURES

NONE = "–"
"""What stands where there is no number."""

SPACE = "\N{NO-BREAK SPACE}"

MEANINGS = {
    "pesq_wb": "how good speech sounds, from 1.0 (bad) to 4.6 (as recorded); ITU-T P.862.2",
    "stoi": "how much of the speech can be understood, from 0 to 1",
    "estoi": "the same, stricter where the noise comes and goes",
    "si_sdr": "how far the speech stands above all that is not speech",
    "segmental_snr": "the same, moment by moment",
    "csig": "how undistorted the speech is, predicted, from 1 to 5",
    "cbak": "how little the background intrudes, predicted, from 1 to 5",
    "covl": "speech and background together, predicted, from 1 to 5",
    "dnsmos_sig": "how undistorted the speech is, judged by a network without the clean speech, from 1 to 5",
    "dnsmos_bak": "how little the background intrudes, judged by that network, from 1 to 5",
    "dnsmos_ovr": "speech and background together, judged by that network, from 1 to 5",
    "dnsmos_p808": "how people asked over the internet would rate it, judged by a network, from 1 to 5",
}
"""What each measure of speech says; more is better in all of them."""


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as "36.9 %"."""
    return NONE if share is None else f"{_minus(100 * share, digits)}{SPACE}%"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with a real minus sign."""
    return NONE if value is None else _minus(value, digits)


def change(value: float | None, digits: int = 1) -> str:
    """Return a difference with its sign."""
    if value is None:
        return NONE
    written = _minus(value, digits)
    return written if written.startswith("−") or not float(written) else f"+{written}"


def points(share: float | None) -> str:
    """Return a difference of shares in points of a hundred: "−10.8"."""
    return change(None if share is None else 100 * share)


def probability(p: float | None) -> str:
    """Return a p value: "< .001" or "0.024"."""
    if p is None:
        return NONE
    return f"<{SPACE}0.001" if p < 0.001 else f"{p:.3f}"


def percent_between(interval: Sequence[float] | None) -> str:
    """Return an interval of shares in percent, "33.1 to 41.0"."""
    if not interval:
        return NONE
    return f"{_minus(100 * interval[0], 1)} to {_minus(100 * interval[1], 1)}"


def count(n: int, one: str, many: str | None = None) -> str:
    """Return "1 speaker", "4 speakers", "1,440 utterances"."""
    return f"{n:,}{SPACE}{one if n == 1 else many or one + 's'}"


def listing(names: Sequence[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def sentence(words: str) -> str:
    """Return words as a sentence, which ends with one full stop."""
    return f"{capital(words.rstrip('. '))}."


def capital(words: str) -> str:
    """Return a sentence as it begins."""
    return words[:1].upper() + words[1:]


def measure_name(measure: str) -> str:
    """Return what the page calls a measure."""
    return MEASURES[measure][0] if measure in MEASURES else measure


def measure_value(measure: str, value: float | None) -> str:
    """Return a score in a measure with the decimals it is usually given with."""
    return number(value, MEASURES[measure][1] if measure in MEASURES else 3)


def _minus(value: float, digits: int) -> str:
    written = f"{value:.{digits}f}"
    if written.startswith("-"):
        written = written[1:] if not float(written) else "−" + written[1:]
    return written


def in_condition(condition: str) -> str:
    """Return "in clean speech" or "at 0 dB"."""
    return "in clean speech" if condition == CLEAN else f"at {condition.replace(' ', SPACE).replace('-', '−')}"


def system_name(document: dict[str, Any]) -> str:
    """Return what was judged by its name."""
    model, system = document.get("model") or {}, document.get("system") or {}
    return str(system.get("name") or model.get("name") or "the model")


def categories_of(document: dict[str, Any]) -> list[str]:
    """Return the categories that were told apart; none where no category was recognised."""
    if (model := document.get("model")) and model.get("categories"):
        return list(model["categories"])
    return next((list(record["per_class"]) for record in document["conditions"] if record.get("per_class")), [])


def attributes_of(document: dict[str, Any]) -> list[str]:
    """Return the attributes that were scored."""
    return list(dict.fromkeys(name for record in document["conditions"] for name in record.get("ccc") or {}))


def measures_of(document: dict[str, Any]) -> list[str]:
    """Return the speech measures that were taken, in the usual order."""
    found = {measure for record in document["conditions"] for measure in record.get("speech") or {}}
    return [measure for measure in MEASURES if measure in found] + sorted(found - set(MEASURES))


def enhances(document: dict[str, Any]) -> bool:
    """Return whether there is a score of enhanced speech."""
    return any(summary["enhanced"]["n"] for summary in _speech(document))


def _speech(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for record in document["conditions"]:
        yield from (record.get("speech") or {}).values()


def noisy(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the conditions with noise, from the highest SNR down."""
    return [record for record in document["conditions"] if record.get("snr_db") is not None]


def clean(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the condition without noise, if it was judged."""
    return next((record for record in document["conditions"] if record["condition"] == CLEAN), None)


def main_condition(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the condition the page speaks of first: the noisy one nearest to 0 dB, the harder of two, else clean."""
    if records := noisy(document):
        return min(records, key=lambda record: (abs(record["snr_db"]), record["snr_db"]))
    return document["conditions"][0] if document["conditions"] else None


def telling_conditions(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return at most three conditions that have a part: clean, the main one and the noisiest, in the usual order."""
    records = [record for record in document["conditions"] if record.get(name)]
    if len(records) <= 3:
        return records
    main = main_condition({"conditions": records})
    wanted = {id(records[0]), id(main), id(records[-1])}
    return [record for record in records if id(record) in wanted]
