"""What the systems scored: schedules, adaptations, clusters, curricula, pretext tasks."""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean

from readme_tables.text import MEASURES, NAMES, read, short

CORPORA = {"ravdess": "RAVDESS, fold 0, 8 classes", "emodb": "EmoDB, test speakers 03 and 08, 7 classes"}


ROWS = {
    "clean": "(a) emotion only, trained clean",
    "noise": "(b) emotion only, trained in noise",
    "joint": "(c) joint with enhancement, cascade",
}


def scores(results: Path) -> str:
    """Return the tables of emotion and speech quality by SNR of the corpora whose JSON is there."""
    parts = []
    for corpus, title in CORPORA.items():
        documents = {row: read(results / f"{corpus}-{row}.json") for row in ROWS}
        documents = {row: document for row, document in documents.items() if document}
        if documents:
            parts.append(_emotion_table(title, documents))
        if "joint" in documents:
            parts.append(_speech_table(title, documents["joint"]))
    return "\n".join(parts)


def _emotion_table(title: str, documents: dict[str, dict]) -> str:
    conditions = [condition["condition"] for condition in next(iter(documents.values()))["conditions"]]
    count = next(iter(documents.values()))["conditions"][0]["n"]
    lines = [f"**{title}**: F1-macro / UA on {count} test utterances, one seed (n = 1).", ""]
    lines += [f"| | {' | '.join(conditions)} |", f"|---|{'---|' * len(conditions)}"]
    for row, document in documents.items():
        cells = [f"{short(one['f1_macro'])} / {short(one['ua'])}" for one in document["conditions"]]
        lines.append(f"| {ROWS[row]} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _speech_table(title: str, document: dict) -> str:
    conditions = document["conditions"]
    lines = [f"Speech quality of (c) on the same mixtures, unprocessed → enhanced ({title.split(',')[0]}):", ""]
    lines += [f"| | {' | '.join(one['condition'] for one in conditions)} |", f"|---|{'---|' * len(conditions)}"]
    for measure, (name, digits) in MEASURES.items():
        cells = []
        for one in conditions:
            pair = (one["speech"][measure][signal]["mean"] for signal in ("unprocessed", "enhanced"))
            cells.append(" → ".join("–" if value is None else f"{value:.{digits}f}" for value in pair))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


ADAPTATIONS = {
    "frozen": "frozen; heads alone",
    "full": "weights trained, heads then all",
    "cascade": "weights trained, cascade",
    "at-once": "weights trained, at once",
    "router-2": "router, 2 % dropped",
    "router-6": "router, 6 % dropped",
    "router-10": "router, 10 % dropped",
    "router-20": "router, 20 % dropped",
    "lora": "low-rank updates, rank 8",
    "joint-cascade": "with enhancement: weights trained, cascade",
    "joint-masks": "with enhancement: router, a set of masks a head",
}


POOLINGS = {
    "attentive": "attentive statistics over frames",
    "mean": "chunks, mean",
    "gated": "chunks, gated",
    "recurrent": "chunks, recurrent attention",
    "self-attention": "chunks, self-attention",
}


def adaptation(results: Path) -> str:
    """Return the tables of ways to adapt an encoder, and of ways to pool its frames, at every SNR."""
    document = read(results / "adaptation.json")
    conditions = [one["condition"] for one in document["rows"][0]["conditions"]]
    head = f"weights or scores trained | stored | s an epoch | {' | '.join(conditions)}"
    lines = [f"| encoder | {head} |", f"|---|---|---|---|{'---|' * len(conditions)}"]
    rows = {one["row"]: one for one in document["rows"]}
    for row, title in ADAPTATIONS.items():
        if row not in rows:
            continue
        one = rows[row]
        size = f"{one['parameters_trained_of_encoder']:,} | {one['stored_bytes'] / 1e6:.1f} MB"
        cells = [short(condition["f1_macro"]) for condition in one["conditions"]]
        lines.append(f"| {title} | {size} | {one['processor_seconds_an_epoch']:.0f} | {' | '.join(cells)} |")
    quartiles = [one["range_s"] for one in rows["attentive"]["conditions"][0]["by_duration"]]
    spans = [f"{low:.1f}–{high:.1f} s" for low, high in quartiles]
    lines += ["", f"| pooling | {' | '.join(conditions)} | clean, {' | '.join(spans)} |"]
    lines += [f"|---|{'---|' * (len(conditions) + len(spans))}"]
    for row, title in POOLINGS.items():
        if row not in rows:
            continue
        found = rows[row]["conditions"]
        cells = [one["f1_macro"] for one in found] + [one["f1_macro"] for one in found[0]["by_duration"]]
        lines.append(f"| {title} | {' | '.join(map(short, cells))} |")
    return "\n".join([*lines, ""])


FORMS = {
    "no clusters": "labels alone, no clusters",
    "vanilla": "vanilla",
    "gru": "GRU",
    "cnn": "CNN",
    "transformer": "transformer",
    "triplet": "triplet",
}


TOLD: dict[str, Callable[[dict], float]] = {
    "steadiness": lambda one: one["temporal"]["consistency"],
    "NMI": lambda one: one["nmi_by_epoch"][-1],
    "AMI, emotion": lambda one: one["ami_emotion"],
    "AMI, speaker": lambda one: one["ami_speaker"],
    "AMI, place": lambda one: one["ami_place"],
}
"""What is told of clusters, by the head of its column."""


def clusters(results: Path) -> str:
    """Return the tables of DeepEmoCluster's forms: what they score on test speakers, and what their clusters tell."""
    found = read(results / "clusters.json")["rows"]
    rows = {(one["row"], one["target"]): one for one in found}
    names = ("arousal", "dominance", "valence")
    lines = [f"| RAVDESS | {' | '.join(f'CCC {name} (derived)' for name in names)} | F1-macro / UA, categories |"]
    lines += ["|---|---|---|---|---|"]
    for row, title in FORMS.items():
        scored = rows[row, "attributes"]["test"]
        cells = [short(scored[f"ccc_{name}_derived"]) for name in names]
        lines.append(f"| {title} | {' | '.join(cells)} | {_f1_and_ua(rows[row, 'categories'])} |")
    lines += ["", f"| RAVDESS, attributes / categories learned | {' | '.join(TOLD)} |", f"|---|{'---|' * len(TOLD)}"]
    for row, title in list(FORMS.items())[1:]:
        both = [rows[row, target] for target in ("attributes", "categories")]
        cells = [" / ".join(short(told(one)) for one in both) for told in TOLD.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _f1_and_ua(one: dict) -> str:
    return f"{short(one['test']['f1_macro'])} / {short(one['test']['ua'])}"


CURRICULA = {
    "none": "none (as many, drawn anew each epoch)",
    "random": "random",
    "deepmi": "DeepMI",
    "pmi": "pointwise mutual information",
    "disagreement": "annotator disagreement",
    "teacher-loss": "transfer-teacher loss",
    "mc-dropout": "Monte-Carlo dropout",
    "self-paced": "self-paced",
    "anti deepmi": "hardest by DeepMI first",
}


def curricula(results: Path) -> str:
    """Return the table of curricula: F1-macro at home and elsewhere, and how steadily they get there."""
    document = read(results / "curricula.json")
    rows = {(one["corpus"], one["row"]): one["runs"] for one in document["rows"]}
    lines = ["| | RAVDESS | spread | RAVDESS → EmoDB | EmoDB | spread |", "|---|---|---|---|---|---|"]
    for row, title in CURRICULA.items():
        cells = []
        for corpus, splits in (("ravdess", ("test", "mismatched")), ("emodb", ("test",))):
            runs = rows[corpus, row]
            scores_of = [[run[split]["f1_macro"] for run in runs] for split in splits]
            told = [f"{short(fmean(one))} ({short(min(one))}–{short(max(one))})" if one else "–" for one in scores_of]
            spread = f"{fmean(run['spread'] for run in runs):.3f}".removeprefix("0") if runs else "–"
            cells += [told[0], spread, *told[1:]]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


PRETEXT = {
    "scratch": "none: random weights",
    "denoise": "`denoise`",
    "energy": "`energy`",
    "action units": "`action-units`",
    "both": "`energy` + `action-units`",
    "masked": "`masked`",
    "masked + both": "`masked` + `energy` + `action-units`",
}


PRETEXT_TITLES = {"ravdess": "RAVDESS, fold 0", "emodb": "EmoDB, speakers 03 and 08"}


def pretext(results: Path) -> str:
    """Return the tables of pre-trainings: their own tasks on dev speakers, then what they are worth to emotion."""
    document = read(results / "pretext.json")
    lines = ["| pre-trained by | energy | action units | hidden frames |", "|---|---|---|---|"]
    for row, title in PRETEXT.items():
        found = [one["dev"] for one in document["pre_trained"] if one["row"] == row and len(one["tasks"])]
        told = [_against_majority(found, task) for task in ("energy", "action_units", "masked")]
        if any(cell != "–" for cell in told):
            lines.append(f"| {title} | {' | '.join(told)} |")
    lines += ["", *_given_away(document), ""]
    cells = {(one["row"], one["corpus"], one["labels"]): [] for one in document["rows"]}
    for one in document["rows"]:
        cells[one["row"], one["corpus"], one["labels"]].append({c["condition"]: c for c in one["conditions"]})
    for corpus, where in PRETEXT_TITLES.items():
        seeds = max(len(runs) for (_, name, _), runs in cells.items() if name == corpus)
        lines += ["", f"**{where}**: precision / recall / F1, means over all classes, n = {seeds}.", ""]
        lines += ["| pre-trained by | all labels, clean | all, 0 dB | a fifth, clean | a fifth, 0 dB |"]
        lines += ["|---|---|---|---|---|"]
        for row, title in PRETEXT.items():
            told = [
                _precision_recall_f1([run[condition] for run in cells.get((row, corpus, share), [])])
                for share in ("all", "fifth")
                for condition in ("clean", "0 dB")
            ]
            lines.append(f"| {title} | {' | '.join(told)} |")
    return "\n".join([*lines, ""])


def _given_away(document: dict) -> list[str]:
    """Return the table of what alone predicts the targets, one median over all corpora beside each corpus's own."""
    (both,) = [one["targets"] for one in document["pre_trained"] if one["row"] == "both"][:1]
    targets = {
        "energy, split at each corpus's median": both["energy"],
        "energy, at one median of all": document["energy_by_one_median"],
        "action units": both["action-units"],
    }
    names = ("level", "duration", "sentence", "corpus", "majority")
    lines = [f"| target | {' | '.join(names[:-1])} | most frequent class |", f"|---|{'---|' * len(names)}"]
    for title, target in targets.items():
        told = [short(target["alone"][name].get("accuracy")) for name in names]
        lines.append(f"| {title} | {' | '.join(told)} |")
    return lines


def _against_majority(found: list[dict], task: str) -> str:
    """Return a task's accuracy and, in brackets, the share of its most frequent class."""
    known = [one for one in found if f"accuracy_{task}" in one]
    if not known:
        return "–"
    return " ".join(
        form.format(short(fmean(one[f"{name}_{task}"] for one in known)))
        for name, form in (("accuracy", "{}"), ("majority", "({})"))
    )


def _precision_recall_f1(conditions: list[dict]) -> str:
    if not conditions:
        return "–"
    names = ("precision_macro", "recall_macro", "f1_macro")
    return " / ".join(short(fmean(one[name] for one in conditions)) for name in names)


def shipped(results: Path) -> str:
    """Return how well the model of the package recognises emotion, beside functionals with an SVM."""
    document = read(results / "shipped-model.json")
    if document is None:
        return ""
    conditions = [one["condition"] for one in next(iter(document["corpora"].values()))["conditions"]]
    lines = [f"| F1-macro | {' | '.join(conditions)} |", f"|---|{'---|' * len(conditions)}"]
    for corpus, found in document["corpora"].items():
        for title, scored in (("", found["conditions"]), (": functionals + SVM", found["svm"])):
            cells = " | ".join(short(one["f1_macro"]) for one in scored)
            lines.append(f"| {NAMES[corpus]}{title} | {cells} |")
        lines.append(f"| its calibration error | {' | '.join(short(one['ece']) for one in found['conditions'])} |")
    return "\n".join([*lines, ""])
