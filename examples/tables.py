"""Write the README's result tables from the JSON in examples/results: `python examples/tables.py`."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

HERE = Path(__file__).resolve().parent

CORPORA = {"ravdess": "RAVDESS, fold 0, 8 classes", "emodb": "EmoDB, test speakers 03 and 08, 7 classes"}
ROWS = {
    "clean": "(a) emotion only, trained clean",
    "noise": "(b) emotion only, trained in noise",
    "joint": "(c) joint with enhancement, cascade",
}
MEASURES = {"pesq_wb": ("PESQ-WB", 2), "stoi": ("STOI", 3), "si_sdr": ("SI-SDR, dB", 1)}


def scores(results: Path) -> str:
    """Return the tables of emotion and speech quality by SNR of the corpora whose JSON is there."""
    parts = []
    for corpus, title in CORPORA.items():
        documents = {row: _read(results / f"{corpus}-{row}.json") for row in ROWS}
        documents = {row: document for row, document in documents.items() if document}
        if documents:
            parts.append(_emotion_table(title, documents))
        if "joint" in documents:
            parts.append(_speech_table(title, documents["joint"]))
    return "\n".join(parts)


def votes(results: Path) -> str:
    """Return the table of what CREMA-D's annotators heard and saw."""
    channels = json.loads((results / "crema-d-votes.json").read_text(encoding="utf-8"))["channels"]
    rows: dict[str, Callable[[dict], str]] = {
        "clips": lambda one: f"{one['clips']}",
        "votes a clip: fewest / median / most": lambda one: " / ".join(
            f"{n:g}" for n in one["votes_per_clip"].values()
        ),
        "clips on which two categories tie": lambda one: f"{one['ties']}",
        "votes for the intended emotion": lambda one: f"{one['recognition']['of_votes']:.1%}",
        "the same in Cao et al. 2014": lambda one: f"{one['recognition']['published']:.1%}",
        "clips most often taken for the intended emotion": lambda one: f"{one['recognition']['of_clips']:.1%}",
        "entropy of a clip's votes, mean, bits": lambda one: f"{one['mean_entropy_bits']:.2f}",
        "Fleiss' kappa": lambda one: _short(one["fleiss_kappa"]),
    }
    lines = [f"| | {' | '.join(channels)} |", f"|---|{'---|' * len(channels)}"]
    lines += [f"| {name} | {' | '.join(map(cell, channels.values()))} |" for name, cell in rows.items()]
    return "\n".join([*lines, ""])


def robustness(results: Path) -> str:
    """Return the tables of kills survived, mutants tried, and memory for an hour of audio."""
    kills, hostile, memory = (
        json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("kills", "hostile-files", "enhance-memory")
    )
    lines = [f"Killed with SIGKILL {kills['kills']} times, run again, and compared byte by byte:", ""]
    lines += ["| | kills | files compared | that differed or were lost |", "|---|---|---|---|"]
    for name, tally in kills["commands"].items():
        lines.append(f"| `{name}` | {tally['kills']} | {tally['files_compared']} | {len(tally['faults'])} |")
    lines += [
        "",
        f"{hostile['mutants']} mutated files given to every command that reads such files, {hostile['calls']} calls:",
        "",
    ]
    lines += ["| | mutants | calls | read | refused | faults | longest, s |", "|---|---|---|---|---|---|---|"]
    for name, tally in hostile["formats"].items():
        calls = tally["commands"].values()
        accepted, refused, faults = (
            sum(sum(call[key] for key in keys) for call in calls)
            for keys in (("accepted",), ("partly", "refused"), ("faults",))
        )
        longest = max(call["longest_s"] for call in calls)
        total = sum(call["calls"] for call in calls)
        lines.append(f"| {name} | {tally['mutants']} | {total} | {accepted} | {refused} | {faults} | {longest:g} |")
    lines += ["", "An hour of noisy speech through `sertool enhance`:", ""]
    lines += ["| | peak memory | real-time factor |", "|---|---|---|"]
    for one in memory["conditions"]:
        name = f"{one['rate'] / 1000:g} kHz, {one['channels']} channel{'s' * (one['channels'] > 1)}"
        lines.append(f"| {name} | {one['peak_rss_mb']:.0f} MB | {one['real_time_factor']:.3f} |")
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
    document = json.loads((results / "adaptation.json").read_text(encoding="utf-8"))
    conditions = [one["condition"] for one in document["rows"][0]["conditions"]]
    head = f"weights or scores trained | stored | s an epoch | {' | '.join(conditions)}"
    lines = [f"| encoder | {head} |", f"|---|---|---|---|{'---|' * len(conditions)}"]
    rows = {one["row"]: one for one in document["rows"]}
    for row, title in ADAPTATIONS.items():
        if row not in rows:
            continue
        one = rows[row]
        size = f"{one['parameters_trained_of_encoder']:,} | {one['stored_bytes'] / 1e6:.1f} MB"
        cells = [_short(condition["f1_macro"]) for condition in one["conditions"]]
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
        lines.append(f"| {title} | {' | '.join(map(_short, cells))} |")
    return "\n".join([*lines, ""])


def speed(results: Path) -> str:
    """Return the tables of WavLM beside transformers', and of chunks beside recurrence over the whole utterance."""
    wavlm, chunks = (
        json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("wavlm-attention", "duration-cost")
    )
    lines = ["| WavLM, float32, one CPU thread, batch 1 | processor time, transformers' / ours | memory of a step |"]
    lines += ["|---|---|---|"]
    for case in wavlm["cases"]:
        ratio = f"{case['ratio_cpu_s']:.2f}" if "ratio_cpu_s" in case else "–"
        peak = case.get("peak_bytes", {})
        both = f"{peak['ours'] / 1e6:.0f} MB, transformers' {peak['transformers'] / 1e6:.0f} MB" if peak else "–"
        mode = {"step": "training step"}.get(case["mode"], case["mode"])
        lines.append(f"| {case['size']}, {case['seconds']:g} s, {mode} | {ratio} | {both} |")
    lines += [
        "",
        "| kept by a layer of attention for the backward pass, 30 s | ours | transformers' |",
        "|---|---|---|",
    ]
    for case in wavlm["saved_for_backward_bytes"]:
        sizes = [f"{case[side]['layer_bytes'] / 1e6:.0f} MB" for side in ("ours", "transformers")]
        lines.append(f"| {case['size']}, {case['dtype']} | {' | '.join(sizes)} |")
    durations = list(dict.fromkeys(row["duration_s"] for row in chunks["rows"]))
    cells = {(row["part"], row["pass"], row["batch"], row["duration_s"]): row["ratio"] for row in chunks["rows"]}
    lines += ["", f"| LSTM over the whole utterance / over chunks | {' | '.join(f'{one:g} s' for one in durations)} |"]
    lines += [f"|---|{'---|' * len(durations)}"]
    for part, how, batch in dict.fromkeys(key[:3] for key in cells):
        row = [f"{cells[part, how, batch, one]:.2f}" if (part, how, batch, one) in cells else "–" for one in durations]
        lines.append(f"| {part}, {how}, batch {batch} | {' | '.join(row)} |")
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
    found = json.loads((results / "clusters.json").read_text(encoding="utf-8"))["rows"]
    rows = {(one["row"], one["target"]): one for one in found}
    names = ("arousal", "dominance", "valence")
    lines = [f"| RAVDESS | {' | '.join(f'CCC {name} (derived)' for name in names)} | F1-macro / UA, categories |"]
    lines += ["|---|---|---|---|---|"]
    for row, title in FORMS.items():
        scored = rows[row, "attributes"]["test"]
        cells = [_short(scored[f"ccc_{name}_derived"]) for name in names]
        lines.append(f"| {title} | {' | '.join(cells)} | {_f1_and_ua(rows[row, 'categories'])} |")
    lines += ["", f"| RAVDESS, attributes / categories learned | {' | '.join(TOLD)} |", f"|---|{'---|' * len(TOLD)}"]
    for row, title in list(FORMS.items())[1:]:
        both = [rows[row, target] for target in ("attributes", "categories")]
        cells = [" / ".join(_short(told(one)) for one in both) for told in TOLD.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _f1_and_ua(one: dict) -> str:
    return f"{_short(one['test']['f1_macro'])} / {_short(one['test']['ua'])}"


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
    document = json.loads((results / "curricula.json").read_text(encoding="utf-8"))
    rows = {(one["corpus"], one["row"]): one["runs"] for one in document["rows"]}
    lines = ["| | RAVDESS | spread | RAVDESS → EmoDB | EmoDB | spread |", "|---|---|---|---|---|---|"]
    for row, title in CURRICULA.items():
        cells = []
        for corpus, splits in (("ravdess", ("test", "mismatched")), ("emodb", ("test",))):
            runs = rows[corpus, row]
            scores_of = [[run[split]["f1_macro"] for run in runs] for split in splits]
            told = [
                f"{_short(fmean(one))} ({_short(min(one))}–{_short(max(one))})" if one else "–" for one in scores_of
            ]
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
    document = json.loads((results / "pretext.json").read_text(encoding="utf-8"))
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
        told = [_short(target["alone"][name].get("accuracy")) for name in names]
        lines.append(f"| {title} | {' | '.join(told)} |")
    return lines


def _against_majority(found: list[dict], task: str) -> str:
    """Return a task's accuracy and, in brackets, the share of its most frequent class."""
    known = [one for one in found if f"accuracy_{task}" in one]
    if not known:
        return "–"
    return " ".join(
        form.format(_short(fmean(one[f"{name}_{task}"] for one in known)))
        for name, form in (("accuracy", "{}"), ("majority", "({})"))
    )


def _precision_recall_f1(conditions: list[dict]) -> str:
    if not conditions:
        return "–"
    names = ("precision_macro", "recall_macro", "f1_macro")
    return " / ".join(_short(fmean(one[name] for one in conditions)) for name in names)


def kmeans(results: Path) -> str:
    """Return the table of k-means beside scikit-learn's and faiss'."""
    document = json.loads((results / "kmeans.json").read_text(encoding="utf-8"))
    titles = {"memory": "in memory", "streamed": "from a file"}
    lines = ["| | | seconds | theirs / ours | peak memory | inertia, theirs / ours |", "|---|---|---|---|---|---|"]
    for case in document["cases"]:
        size = f"{case['points'] // 1000}k × {case['width']}, K = {case['clusters']}, {titles[case['case']]}"
        for name, one in case["contestants"].items():
            ratio = "" if name.startswith("sertool") else f"{one['ratio']:.2f}"
            inertia = "" if name.startswith("sertool") else f"{one['inertia_over_sertool']:.4f}"
            cells = f"{one['median_seconds']:.2f} | {ratio} | {one['peak_anonymous_bytes'] / 1e6:.0f} MB | {inertia}"
            lines.append(f"| {size} | {name} | {cells} |")
    return "\n".join([*lines, ""])


def noise_robustness(results: Path) -> str:
    """Return, of each corpus, every row's scores in noise of unseen kinds, how it compares, and its enhanced speech."""
    document = _read(results / "noise-robustness.json")
    parts = []
    for corpus, found in document["corpora"].items() if document else ():
        rows = {one["row"]: one for one in found["rows"]}
        heard = {name: one for name, one in rows.items() if "conditions" in one}
        if not heard:
            continue
        conditions = [one["condition"] for one in next(iter(heard.values()))["conditions"]]
        parts += [f"**{NAMES[corpus]}**: F1-macro / UA, one training each (n = 1).", ""]
        parts += [f"| | folds | {' | '.join(conditions)} |", f"|---|---|{'---|' * len(conditions)}"]
        for name, one in heard.items():
            cells = [f"{_short(scored['f1_macro'])} / {_short(scored['ua'])}" for scored in one["conditions"]]
            parts.append(f"| {name} | {len(one['folds'])} of {found['folds_of_the_corpus']} | {' | '.join(cells)} |")
        blank = [name for name in found["blank"] if name != "enhancement only"]
        parts += [f"| {name} | none | {' | '.join([' '] * len(conditions))} |" for name in blank]
        parts += ["", *_against_baseline(heard), *_kinds(heard), *_enhanced(rows)]
    return "\n".join(parts)


NAMES = {"ravdess": "RAVDESS, 8 classes", "emodb": "EmoDB, 7 classes", "nemo": "nEMO, 6 classes"}


def _against_baseline(rows: dict[str, dict]) -> list[str]:
    """Return the table of differences to the baseline at 0 dB."""
    compared = {name: one["comparison"] for name, one in rows.items() if "comparison" in one}
    if not compared:
        return []
    if not any(one["verdict"] for comparison in compared.values() for one in comparison["conditions"]):
        return ["Fewer than eight test speakers: no row is compared with another.", ""]
    baseline = next(iter(compared.values()))["baseline"]
    lines = [f"At 0 dB, against *{baseline}* on the same utterances; sign-flip test over speakers, Holm over SNRs:", ""]
    lines += [
        "| | speakers | difference in F1-macro | 95 % interval | p | p, Holm | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, comparison in compared.items():
        one = next(each for each in comparison["conditions"] if each["condition"] == "0 dB")
        interval = "–" if one["interval"] is None else " to ".join(f"{end:+.2f}" for end in one["interval"])
        p, holm = ("–" if one[key] is None else f"{one[key]:.3f}" for key in ("p", "p_holm"))
        difference = f"{one['speakers']} | {one['difference']:+.3f} | {interval} | {p} | {holm}"
        lines.append(f"| {name} | {difference} | {one['verdict']} |")
    return [*lines, ""]


def _kinds(rows: dict[str, dict]) -> list[str]:
    """Return the table of UA by kind of noise at 0 dB."""
    found = {
        name: {each["noise_kind"]: each for each in one["by_kind"] if each["condition"] == "0 dB"}
        for name, one in rows.items()
    }
    found = {name: by_kind for name, by_kind in found.items() if by_kind}  # predictions made elsewhere do not tell
    if not any(one["verdict"] for row in rows.values() for one in row.get("comparison", {}).get("conditions", [])):
        return []  # a handful of utterances each
    kinds = sorted({kind for by_kind in found.values() for kind in by_kind})
    counts = next(iter(found.values()))
    head = " | ".join(f"{kind} ({counts[kind]['n']})" if kind in counts else kind for kind in kinds)
    lines = ["UA at 0 dB by kind of noise (and how many utterances; a few of each speaker, so read with care):", ""]
    lines += [f"| | {head} |", f"|---|{'---|' * len(kinds)}"]
    for name, by_kind in found.items():
        lines.append(
            f"| {name} | {' | '.join(_short(by_kind[kind]['ua']) if kind in by_kind else '–' for kind in kinds)} |"
        )
    return [*lines, ""]


def _enhanced(rows: dict[str, dict]) -> list[str]:
    """Return the table of speech quality at 0 dB, before and after."""
    found = {name: one["speech"] for name, one in rows.items() if "speech" in one}
    if not found:
        return []
    measures = {**MEASURES, "estoi": ("ESTOI", 3), "segmental_snr": ("segSNR, dB", 1), "covl": ("COVL", 2)}
    first = next(each for each in next(iter(found.values())) if each["condition"] == "0 dB")
    lines = [f"Speech quality at 0 dB, fold 0, {first['n']} utterances:", ""]
    lines += [f"| | {' | '.join(name for name, _ in measures.values())} |", f"|---|{'---|' * len(measures)}"]
    cells = [f"{first[measure]['unprocessed']:.{digits}f}" for measure, (_, digits) in measures.items()]
    lines.append(f"| unprocessed | {' | '.join(cells)} |")
    for name, conditions in found.items():
        one = next(each for each in conditions if each["condition"] == "0 dB")
        cells = [f"{one[measure]['enhanced']:.{digits}f}" for measure, (_, digits) in measures.items()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


TESTS = {
    "sign_flip": "sign-flip over speakers",
    "interval_without_zero": "95 % interval leaves out 0",
    "mcnemar": "McNemar",
    "subset_t_test": "t-test, 15 subsets",
}


def false_alarms(results: Path) -> str:
    """Return the false-alarm rates of tests on simulated pairs of systems of which neither is better."""
    document = _read(results / "false-alarms.json")
    lines = []
    for scenario in document["scenarios"] if document else ():
        speakers = [row["speakers"] for row in scenario["rows"]]
        lines += [f"{scenario['scenario'].capitalize()}: {scenario['about']}", ""]
        lines += [f"| speakers | {' | '.join(map(str, speakers))} |", f"|---|{'---|' * len(speakers)}"]
        for test, name in TESTS.items():
            cells = ["–" if not row[test] else f"{row[test]['rate']:.3f}" for row in scenario["rows"]]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def fixed_mixtures(results: Path) -> str:
    """Return enhanced speech on mixtures that other systems were scored on too, at each SNR."""
    document = _read(results / "fixed-mixtures.json")
    if document is None:
        return ""
    measures = {name: MEASURES[name] for name in ("pesq_wb", "stoi", "si_sdr")}
    conditions = document["conditions"]
    heads = [f"{name}, {one['condition']}" for one in conditions for name, _ in measures.values()]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    stored = document["stored"]["systems"]
    rows = {
        name: [by[one["condition"]][measure]["mean"] for one in conditions for measure in measures]
        for name, by in stored.items()
    }
    rows["ours, joint at once"] = [one["speech"][name]["enhanced"]["mean"] for one in conditions for name in measures]
    digits = [digits for _ in conditions for _, digits in measures.values()]
    for name, values in rows.items():
        cells = [f"{value:.{places}f}" for value, places in zip(values, digits, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def abstention(results: Path) -> str:
    """Return how often a model declines to name an emotion, in speech and where nobody speaks."""
    document = _read(results / "abstention.json")
    if document is None:
        return ""
    splits = document["splits"]
    columns = list(next(iter(splits.values()))["refused"])
    lines = [f"| declines in | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name, split in splits.items():
        cells = [f"{split['refused'][column]['share']:.0%}" for column in columns]
        lines.append(f"| {name} split, {split['utterances']} utterances | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def referee_speed(results: Path) -> str:
    """Return how fast measures and evaluations are, beside libraries and one process."""
    measures, evaluation = (_read(results / f"{name}.json") for name in ("speech-measures", "evaluation-speed"))
    lines = []
    if measures:
        lines += ["| of all pairs, one CPU thread | seconds | of processor | times sertool's | largest difference |"]
        lines += ["|---|---|---|---|---|"]
        for case in measures["cases"]:
            for name, one in case["contestants"].items():
                seconds = f"{one['median_seconds']:.2f} | {one['median_cpu_seconds']:.2f} | {one['cpu_ratio']:.1f}"
                lines.append(f"| {case['case']}: {name} | {seconds} | {one['largest_difference']:.1g} |")
        lines.append("")
    if evaluation:
        about = f"{evaluation['utterances']} utterances at {', '.join(evaluation['conditions'])}, all measures"
        lines += [f"| {about} | seconds |", "|---|---|"]
        lines += [f"| {name} | {seconds:.1f} |" for name, seconds in evaluation["seconds"].items()]
        lines += [
            f"| parallel efficiency on {evaluation['workers']} cores | {evaluation['parallel_efficiency']:.0%} |",
            "",
        ]
    return "\n".join(lines)


SECTIONS = {
    **{"noise robustness": noise_robustness, "false alarms": false_alarms},
    **{"fixed mixtures": fixed_mixtures, "abstention": abstention, "referee": referee_speed},
    **{"results": scores, "adaptation": adaptation, "clusters": clusters, "curricula": curricula},
    **{"pretext": pretext, "speed": speed, "k-means": kmeans, "votes": votes, "robustness": robustness},
}
"""What stands between the README's marks of each name."""


def marks(name: str) -> tuple[str, str]:
    """Return the lines between which a section's tables stand in the README."""
    return f"<!-- {name}: written by examples/tables.py -->\n", f"<!-- end of {name} -->"


def _emotion_table(title: str, documents: dict[str, dict]) -> str:
    conditions = [condition["condition"] for condition in next(iter(documents.values()))["conditions"]]
    count = next(iter(documents.values()))["conditions"][0]["n"]
    lines = [f"**{title}**: F1-macro / UA on {count} test utterances, one seed (n = 1).", ""]
    lines += [f"| | {' | '.join(conditions)} |", f"|---|{'---|' * len(conditions)}"]
    for row, document in documents.items():
        cells = [f"{_short(one['f1_macro'])} / {_short(one['ua'])}" for one in document["conditions"]]
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


def _read(path: Path) -> dict | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".removeprefix("0")


def write(readme: Path, results: Path) -> None:
    """Put the tables between the README's marks."""
    text = readme.read_text(encoding="utf-8")
    for name, tables in SECTIONS.items():
        begin, end = marks(name)
        before, rest = text.split(begin)
        text = f"{before}{begin}{tables(results)}{end}{rest.split(end)[1]}"
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(HERE.parent / "README.md", HERE / "results")
