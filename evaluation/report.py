"""The report as Markdown: one table a split, then what a reader needs before trusting it.

Written from `metrics.json` and the data card alone; it holds no times, so equal results give equal files.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.tables import escape, markdown_table

Json = Mapping[str, Any]  # Any: plain JSON values
COLUMNS = ("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10", "mrr@20", "mrr")
WITH_INTERVALS = ("hr@10", "mrr")
SLICED = ("popularity", "baseline_fusion", "graph", "llm", "kinrec")
PAIRED = ("hr@10", "ndcg@10", "mrr")


def render_report(metrics: Json, card: Json) -> str:
    """The whole report."""
    sections = [f"# {escape(metrics['pair'])}: report", _introduction(metrics)]
    for split, found in metrics["splits"].items():
        sections += [f"## {split}", *_split_sections(split, found, metrics["settings"])]
    sections += ["## Out of domain", _out_of_domain(metrics["out_of_domain"])]
    sections += ["## Retrieval", _nested(metrics["retrieval"], "No neighbours were retrieved.")]
    sections += ["## What was chosen on valid", _chosen(metrics["chosen"])]
    sections += ["## Data card", _nested(card, "There is no data card.")]
    return "\n\n".join(sections) + "\n"


def _introduction(metrics: Json) -> str:
    settings = metrics["settings"]
    filtering = "left out of" if settings["filter_history"] else "kept in"
    x, y = (escape(name) for name in metrics["domains"])
    return (
        f"Domain X is {x}, domain Y is {y}. Full ranking over all items of the target's domain; ties count against the "
        f"system; history items are {filtering} the ranking (a target among those left out is a miss). "
        f"Intervals: 95 %, {settings['bootstrap_resamples']} bootstrap resamples of users. "
        "`graph`, `llm` and `paper_refined` are judged by their lists: a target that a list does not hold counts 0, "
        "also in `mrr`; the others are ranked in full. "
        f"Everything that is chosen is chosen on valid, by {settings['selection_metric']}."
    )


def _split_sections(split: str, found: Json, settings: Json) -> list[str]:
    sections = [
        f"{found['num_samples']} samples of {found['num_users']} users.",
        systems_table(found["systems"], "all"),
    ]
    answered = found["slices"].get("llm_answered")
    if answered is not None:
        sections += [
            f"The LLM answered {answered} of {found['num_samples']} samples; the others count as misses of `llm`. "
            "On the answered ones alone:",
            systems_table(found["systems"], "llm_answered"),
        ]
    for domain in ("X", "Y"):
        if domain in found["slices"]:
            sections += [
                f"### {split}, target in domain {domain} ({found['slices'][domain]} samples)",
                systems_table(found["systems"], domain),
            ]
    sections += [f"### {split}, paired differences", _paired(found["paired"])]
    sections += [f"### {split}, HR@10 by slice", _slices(found)]
    other = "kept in" if settings["filter_history"] else "left out of"
    sections += [
        f"### {split}, history items {other} the ranking",
        systems_table(found["other_filter"]["systems"], "all"),
    ]
    sections += [f"### {split}, ceilings", _ceilings(found["ceilings"])]
    return sections


def systems_table(systems: Json, label: str) -> str:
    """Systems x metrics on one slice."""
    header = ["system", *COLUMNS, *(f"{metric} 95 %" for metric in WITH_INTERVALS)]
    rows = [
        [name, *(float(of[label][column]) for column in COLUMNS), *(_interval(of[label], m) for m in WITH_INTERVALS)]
        for name, of in systems.items()
    ]
    return markdown_table(header, rows)


def _interval(found: Json, metric: str) -> str:
    low, high = found["ci95"][metric]
    return f"{low:.4f} to {high:.4f}"


def _paired(paired: Json) -> str:
    if not paired:
        return "Only one system: nothing to compare."
    rows = []
    for name, of in paired.items():
        cells: list[object] = [name]
        for metric in PAIRED:
            low, high = of[metric]["ci95"]
            cells.append(f"{of[metric]['difference']:+.4f} ({low:+.4f} to {high:+.4f}), p {of[metric]['p']:.3f}")
        rows.append(cells)
    return markdown_table(["difference", *PAIRED], rows)


def _slices(found: Json) -> str:
    names = [name for name in SLICED if name in found["systems"]]
    rows = [
        [label, count, *(float(found["systems"][name][label]["hr@10"]) for name in names)]
        for label, count in found["slices"].items()
    ]
    return markdown_table(["slice", "samples", *names], rows)


def _ceilings(found: Json) -> str:
    columns = list(next(iter(found.values())))
    rows = [[label, *(float(of[column]) for column in columns)] for label, of in found.items()]
    return markdown_table(["target's domain", *(column.replace("_", " ") for column in columns)], rows)


def _out_of_domain(found: Json) -> str:
    splits = list(next(iter(found.values())))
    rows = [[name, *(float(of[split]) for split in splits)] for name, of in found.items()]
    return (
        "Share of the LLM's texts (all of them; the first of each sample), of the samples in which the paper's "
        "refinement took the graph's list, and of the items in the final lists:\n\n"
        + markdown_table(["", *splits], rows)
    )


def _chosen(chosen: Json) -> str:
    rows: list[Sequence[object]] = [
        [name, ", ".join(f"{key} {value:g}" for key, value in parameters.items())]
        for name, parameters in chosen["baselines"].items()
    ]
    for name in ("baseline_fusion", "kinrec"):
        weights = ", ".join(f"{value:g} {key}" for key, value in chosen[name]["weights"].items())
        rows.append([name, f"{weights} (of {chosen[name]['num_candidates']} candidates)"])
    notes = [
        f"`{name}`: every candidate was below one of its parts on valid by HR@10 or MRR; the least bad was taken."
        for name in ("baseline_fusion", "kinrec")
        if chosen[name]["below_parts"]
    ]
    ridge = chosen["ridge_users"]
    if ridge["used"] < ridge["all"]:
        notes.append(f"The ridge was fitted on a random {ridge['used']} of {ridge['all']} train users.")
    return "\n\n".join([markdown_table(["system", "parameters or weights"], rows), *notes])


def _nested(found: Json, absent: str) -> str:
    """Any JSON object as a table of dotted keys."""
    rows = list(_flatten(found, ""))
    return markdown_table(["", "value"], rows) if rows else absent


def _flatten(value: Any, name: str) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [row for key, below in value.items() for row in _flatten(below, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list):
        return [(name, ", ".join(str(entry) for entry in value))]
    return [(name, value)]
