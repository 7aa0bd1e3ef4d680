"""Emotion and speech in noise: the table of rows, the search behind it, the fixed mixtures."""

from pathlib import Path

from readme_tables.text import MEASURES, NAMES, read, short


def noise_robustness(results: Path) -> str:
    """Return, of each corpus, every row's scores in noise of unseen kinds, how it compares, and its enhanced speech."""
    document = read(results / "noise-robustness.json")
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
            cells = [f"{short(scored['f1_macro'])} / {short(scored['ua'])}" for scored in one["conditions"]]
            parts.append(f"| {name} | {len(one['folds'])} of {found['folds_of_the_corpus']} | {' | '.join(cells)} |")
        blank = [name for name in found["blank"] if name != "enhancement only"]
        parts += [f"| {name} | none | {' | '.join([' '] * len(conditions))} |" for name in blank]
        parts += ["", *_against_baseline(heard), *_kinds(heard), *_enhanced(rows)]
    return "\n".join([*parts, *(_trials(document["trials"]) if document else [])])


def _trials(trials: dict[str, dict]) -> list[str]:
    """Return what every training scored on dev speakers at each learning rate, the chosen one in bold."""
    rates = list(next(iter(trials.values()))["dev"])
    lines = ["Trials, scored on the dev speakers of RAVDESS fold 0 in dev noise at 5 dB; the chosen ones in bold:", ""]
    lines += [f"| | {' | '.join(f'learning rate {rate}' for rate in rates)} |", f"|---|{'---|' * len(rates)}"]
    for training, found in trials.items():
        cells = []
        for rate, dev in found["dev"].items():
            cell = f"F1 {short(dev['f1_macro'])}" if "f1_macro" in dev else f"L1 {dev['l1']:.3f}"
            cells.append(f"**{cell}**" if float(rate) == found["chosen"] else cell)
        lines.append(f"| {training} | {' | '.join(cells)} |")
    return [*lines, ""]


def joint_training_search(results: Path) -> str:
    """Return the dev scores of joint training and of emotion alone, one thing changed at a time."""
    document = read(results / "joint-training-search.json")
    if document is None:
        return ""
    titles = {"noise": "emotion only, in noise: F1", "at-once": "joint, at once: F1"}
    lines = [f"| | {' | '.join(titles.values())} | its enhancement: L1 |", f"|---|{'---|' * (len(titles) + 1)}"]
    for row in document["rows"]:
        cells = [", ".join(short(one["f1_macro"]) for one in row.get(name, ())) or "–" for name in titles]
        distances = ", ".join(f"{one['l1']:.3f}" for one in row["at-once"])
        lines.append(f"| {row['variation']} | {' | '.join(cells)} | {distances} |")
    return "\n".join([*lines, ""])


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
            f"| {name} | {' | '.join(short(by_kind[kind]['ua']) if kind in by_kind else '–' for kind in kinds)} |"
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


def fixed_mixtures(results: Path) -> str:
    """Return enhanced speech on mixtures that other systems were scored on too, at each SNR; and what ours costs."""
    document, shipped = (read(results / f"{name}.json") for name in ("fixed-mixtures", "enhancement-table"))
    if document is None:
        return ""
    measures = {name: MEASURES[name] for name in ("pesq_wb", "stoi", "si_sdr")}
    conditions = [one["condition"] for one in document["conditions"]]
    heads = [f"{name}, {condition}" for condition in conditions for name, _ in measures.values()]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    systems = {
        name: {condition: {measure: by[condition][measure]["mean"] for measure in measures} for condition in by}
        for name, by in document["stored"]["systems"].items()
    }
    systems["ours, mask (joint at once)"] = {
        one["condition"]: {name: one["speech"][name]["enhanced"]["mean"] for name in measures}
        for one in document["conditions"]
    }
    if shipped:
        systems["ours, dual-path (the model of the package)"] = shipped["scores"]["ours"]
    for name, by in systems.items():
        cells = [f"{by[one][measure]:.{digits}f}" for one in conditions for measure, (_, digits) in measures.items()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(_cost(shipped) if shipped else [])])


def _cost(document: dict) -> list[str]:
    """Return what the model of the package costs, one thread, and two of its spectrograms."""
    speed, fresh = document["speed"], document["fresh_process"]
    facts = {
        "parameters, emotion included": f"{document['model']['parameters'] / 1e6:.2f} million",
        "weights on disk": f"{document['stored_bytes']['model.safetensors'] / 1e6:.1f} MB",
        "real-time factor of `enhance` in Python": f"{speed['real_time_factor']:.3f}",
        "latency": "the whole recording: it is not causal",
        f"`sertool enhance` on {fresh['audio_s']:.1f} s, start-up included": f"{fresh['wall_s']:.1f} s",
        "its peak memory": f"{fresh['peak_rss_mb']:.0f} MB",
    }
    lines = ["| the model of the package, one thread | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts.items()]
    for picture in document["pictures"]:
        title = f"Before and after: {picture['mixture'].removesuffix('.wav')}"
        lines += ["", f"![{title}](examples/results/{picture['file']})"]
    return [*lines, ""]
