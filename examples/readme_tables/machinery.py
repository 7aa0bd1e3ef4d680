"""What it costs and what it survives: speed, memory, kills, hostile files, and the votes of a corpus."""

from collections.abc import Callable
from pathlib import Path

from readme_tables.text import read, short


def votes(results: Path) -> str:
    """Return the table of what CREMA-D's annotators heard and saw."""
    channels = read(results / "crema-d-votes.json")["channels"]
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
        "Fleiss' kappa": lambda one: short(one["fleiss_kappa"]),
    }
    lines = [f"| | {' | '.join(channels)} |", f"|---|{'---|' * len(channels)}"]
    lines += [f"| {name} | {' | '.join(map(cell, channels.values()))} |" for name, cell in rows.items()]
    return "\n".join([*lines, ""])


def robustness(results: Path) -> str:
    """Return the tables of kills survived, mutants tried, and memory for an hour of audio."""
    kills, hostile, memory = (read(results / f"{name}.json") for name in ("kills", "hostile-files", "enhance-memory"))
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


def speed(results: Path) -> str:
    """Return the tables of WavLM beside transformers', and of chunks beside recurrence over the whole utterance."""
    wavlm, chunks = (read(results / f"{name}.json") for name in ("wavlm-attention", "duration-cost"))
    lines = ["| WavLM, one CPU thread, batch 1 | processor time, transformers' / ours | memory of a step |"]
    lines += ["|---|---|---|"]
    kinds = ("compiled", "checkpointing", "dtype", "size", "seconds", "mode")
    for case in sorted(wavlm["cases"], key=lambda case: (case["dtype"] != "float32", [case[name] for name in kinds])):
        ratio = f"{case['ratio_cpu_s']:.2f}" if "ratio_cpu_s" in case else "–"
        peak = case.get("peak_bytes", {})
        both = f"{peak['ours'] / 1e6:.0f} MB, transformers' {peak['transformers'] / 1e6:.0f} MB" if peak else "–"
        mode = {"step": "training step"}.get(case["mode"], case["mode"])
        how = "" if case["dtype"] == "float32" else f", {case['dtype']}"
        how += ", both compiled" if case["compiled"] else ""
        how += ", both checkpointing" if case["checkpointing"] else ""
        lines.append(f"| {case['size']}, {case['seconds']:g} s, {mode}{how} | {ratio} | {both} |")
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
    return "\n".join([*lines, *_compact_encoder(read(results / "compact-encoder.json")), ""])


def _compact_encoder(document: dict) -> list[str]:
    """Return the table of the compact encoder beside the same with torch's convolutions."""
    ratios = {(case["part"], case["pass"], case["dtype"]): case["ratio"] for case in document["cases"]}
    columns = list(dict.fromkeys(key[1:] for key in ratios))
    heads = [f"{how}, {dtype}" for how, dtype in columns]
    lines = [
        "",
        f"| compact encoder, torch's convolutions / ours | {' | '.join(heads)} |",
        f"|---|{'---|' * len(heads)}",
    ]
    for part in dict.fromkeys(key[0] for key in ratios):
        lines.append(f"| {part} | {' | '.join(f'{ratios[part, *column]:.2f}' for column in columns)} |")
    return lines


def kmeans(results: Path) -> str:
    """Return the table of k-means beside scikit-learn's and faiss'."""
    document = read(results / "kmeans.json")
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


def referee_speed(results: Path) -> str:
    """Return how fast measures and evaluations are, beside libraries and one process."""
    measures, evaluation = (read(results / f"{name}.json") for name in ("speech-measures", "evaluation-speed"))
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
