"""What the report says: one table a split, then what a reader needs before trusting it.

Made from `metrics.json` and the data card alone; but for the chapter on timing, equal results give equal reports.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.report.data.section import data_parts
from evaluation.report.legend import legend
from evaluation.report.llm_gain import llm_gain_parts
from evaluation.report.report_parts import Code, Figure, Folded, Heading, Paragraph, Part, Row, Table, nested, text
from launch.summary import llm_adds
from launch.systems import TOLD_BY

Json = Mapping[str, Any]  # Any: plain JSON values
COLUMNS = ("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10", "mrr@20", "mrr")
WITH_INTERVALS = ("hr@10", "mrr")
SLICED = ("popularity", "baseline_fusion", "graph", "llm", "kinrec")
PAIRED = ("hr@10", "ndcg@10", "mrr")
BY_TARGET = ("hr@10", "mrr")
TARGETS = {"warm_target": "warm", "cold_target": "cold"}
PLOTTED = "histograms"
"""The card's numbers that are there for the plots."""


def build_report(metrics: Json, card: Json, figures: Sequence[Figure]) -> list[Part]:
    """The whole report but for its timing; `figures` are the plots of the data."""
    parts: list[Part] = [Heading(1, f"{metrics['pair']}: report"), *map(text, llm_adds(dict(metrics)))]
    parts += [_introduction(metrics), legend(next(iter(metrics["splits"].values()))["systems"])]
    for split, judged in metrics["splits"].items():
        parts += [Heading(2, split), *_split_parts(split, judged, metrics["settings"])]
    if metrics.get("protocols"):
        parts += [Heading(2, "Other knowledge"), *_protocols(metrics["protocols"])]
    if metrics.get("llm_adds"):
        parts += [Heading(2, "What the language model adds"), *llm_gain_parts(metrics["llm_adds"])]
    parts += [Heading(2, "Out of domain"), *_out_of_domain(metrics["out_of_domain"])]
    parts += [Heading(2, "Retrieval"), _retrieval(metrics["retrieval"])]
    parts += [Heading(2, "What was chosen on valid"), *_chosen(metrics["chosen"])]
    parts += [Heading(2, "The data"), *data_parts(card, figures)]
    every_value = nested({key: value for key, value in card.items() if key != PLOTTED}, "There is no data card.")
    parts += [
        Heading(2, "Data card"),
        Folded("Every value of pair/card.json by its path, but for the numbers behind the plots.", (every_value,)),
    ]
    return parts


def timing_parts(timing: Json) -> list[Part]:
    """Where the time went; no two runs have the same."""
    stages = [[name, f"{seconds:,.1f}"] for name, seconds in timing["stages"].items()]
    parts = [[f"evaluate: {name.replace('_', ' ')}", f"{seconds:,.1f}"] for name, seconds in timing["evaluate"].items()]
    tuned = [[f"evaluate: tune {name}", f"{seconds:,.1f}"] for name, seconds in timing["tune_baselines"].items()]
    return [Heading(2, "Timing"), Table(["stage or part of one", "seconds"], [*stages, *parts, *tuned])]


def _introduction(metrics: Json) -> Paragraph:
    settings = metrics["settings"]
    filtering = "left out of" if settings["filter_history"] else "kept in"
    x, y = metrics["domains"]
    ranked, whole = "Full ranking over all items of the target's domain", "in full"
    if metrics.get("by_candidates"):
        depth, whole = settings["candidate_depth"], "among these candidates"
        ranked = f"Ranking among the {depth} best items of each source; a target outside them is a miss"
    return text(
        f"Domain X is {x}, domain Y is {y}. {ranked}; ties count against the "
        f"system; history items are {filtering} the ranking (a target among those left out is a miss). "
        f"Intervals: 95 %, {settings['bootstrap_resamples']} bootstrap resamples of users. ",
        Code("graph"),
        " and its parts, ",
        Code("llm"),
        " and ",
        Code("paper_refined"),
        " are judged by their lists: a target that a list does not hold counts 0, also in ",
        Code("mrr"),
        f"; the others are ranked {whole}. "
        f"Everything that is chosen is chosen on valid, by {settings['selection_metric']}.",
    )


def _split_parts(split: str, judged: Json, settings: Json) -> list[Part]:
    parts: list[Part] = [
        text(f"{judged['num_samples']} samples of {judged['num_users']} users."),
        systems_table(judged["systems"], "all"),
    ]
    answered = judged["slices"].get("llm_answered")
    if answered is not None:
        parts += [
            text(
                f"The LLM answered {answered} of {judged['num_samples']} samples; the others count as misses of ",
                Code("llm"),
                ". On the answered ones alone:",
            ),
            systems_table(judged["systems"], "llm_answered"),
        ]
    for domain in ("X", "Y"):
        if domain in judged["slices"]:
            parts += [
                Heading(3, f"{split}, target in domain {domain} ({judged['slices'][domain]} samples)"),
                systems_table(judged["systems"], domain),
            ]
    other = "kept in" if settings["filter_history"] else "left out of"
    few = judged["other_filter"].get("num_samples", judged["num_samples"])
    of_few = f" ({few} of {judged['num_samples']} samples)" if few < judged["num_samples"] else ""
    return [
        *parts,
        Heading(3, f"{split}, paired differences"),
        _paired(judged["paired"]),
        Heading(3, f"{split}, HR@10 by slice"),
        _slices(judged),
        Heading(3, f"{split}, history items {other} the ranking{of_few}"),
        systems_table(judged["other_filter"]["systems"], "all"),
        Heading(3, f"{split}, ceilings"),
        _ceilings(judged["ceilings"]),
    ]


def systems_table(systems: Json, label: str) -> Table:
    """Systems x metrics on one slice."""
    header = ["system", *COLUMNS, *(f"{metric} 95 %" for metric in WITH_INTERVALS)]
    rows = [
        [
            name,
            *(float(slices[label][column]) for column in COLUMNS),
            *(_interval(slices[label], m) for m in WITH_INTERVALS),
        ]
        for name, slices in systems.items()
    ]
    return Table(header, rows, higher_is_better=True)


def _interval(metrics: Json, metric: str) -> str:
    low, high = metrics["ci95"][metric]
    return f"{low:.4f} to {high:.4f}"


def _protocols(protocols: Json) -> list[Part]:
    said = text(
        "Test once more with other knowledge, what was chosen being the same: of train alone; of all until the moment "
        "that parts valid from test; of that and of every purchase that the samples hold strictly before each question "
        "(users are asked once a domain after a cut: what else they bought then is in no sample). Warm are targets "
        "that somebody has bought in what is known, cold those that nobody has."
    )
    parts: list[Part] = [said]
    for knowledge, table in protocols.items():
        days = table["age_days"]
        age = f"{days:,.1f} days old at the median question" if days else "as of each question"
        own = ", this report's own" if table["own"] else ""
        parts += [Heading(3, f"{knowledge}: {age}{own}"), systems_table(table["systems"], "all")]
        parts += _by_target(table)
    return parts


def _by_target(table: Json) -> list[Part]:
    """The systems on warm targets and on cold ones, side by side."""
    counts = table["slices"]
    for label, word in TARGETS.items():
        if counts[label] == counts["all"]:
            return [text(f"All {counts['all']} targets are {word}.")]
    header = ["system", *(f"{word} {metric}" for word in TARGETS.values() for metric in BY_TARGET)]
    rows = [
        [name, *(float(slices[label][metric]) for label in TARGETS for metric in BY_TARGET)]
        for name, slices in table["systems"].items()
    ]
    said = text(f"Of {counts['all']} targets {counts['warm_target']} are warm, {counts['cold_target']} cold:")
    return [said, Table(header, rows, higher_is_better=True)]


def _paired(paired: Json) -> Part:
    if not paired:
        return text("Only one system: nothing to compare.")
    rows = []
    for name, differences in paired.items():
        cells: list[object] = [name]
        for metric in PAIRED:
            apart = differences[metric]
            low, high = apart["ci95"]
            cells.append(f"{apart['difference']:+.4f} ({low:+.4f} to {high:+.4f}), p {apart['p']:.3f}")
        rows.append(cells)
    return Table(["difference", *PAIRED], rows)


def _slices(judged: Json) -> Table:
    names = [name for name in SLICED if name in judged["systems"]]
    rows = [
        [label, count, *(float(judged["systems"][name][label]["hr@10"]) for name in names)]
        for label, count in judged["slices"].items()
    ]
    return Table(["slice", "samples", *names], rows)


def _ceilings(ceilings: Json) -> Table:
    columns = list(next(iter(ceilings.values())))
    rows = [[label, *(float(values[column]) for column in columns)] for label, values in ceilings.items()]
    return Table(["target's domain", *(column.replace("_", " ") for column in columns)], rows)


def _out_of_domain(rates: Json) -> list[Part]:
    splits = list(next(iter(rates.values())))
    rows = [[name, *(float(by_split[split]) for split in splits)] for name, by_split in rates.items()]
    said = text(
        "Share of the LLM's texts (all of them; the first of each sample), of the samples in which the paper's "
        "refinement took the graph's list, and of the items in the final lists:"
    )
    return [said, Table(["", *splits], rows)]


def _retrieval(quality: Json) -> Part:
    """Measures x splits; the cells that a split lacks are empty."""
    absent = "No neighbours were retrieved."
    if not quality or not all(isinstance(by_measure, Mapping) for by_measure in quality.values()):
        return nested(quality, absent)
    measures = list(dict.fromkeys(name for by_measure in quality.values() for name in by_measure))
    return Table(
        ["", *quality], [[name, *(by_measure.get(name, "") for by_measure in quality.values())] for name in measures]
    )


def _final(final: Json) -> str:
    """What makes the final list, with its most telling features."""
    if final["by"] == "fusion":
        return "fusion"
    telling = ", ".join(f"{name} {share:.0%}" for name, share in list(final["features"].items())[:5])
    weights = ", ".join(f"{value:g} {key}" for key, value in final["weights"].items())
    return f"{weights}; list ranker: {final['trees']} trees over each source's {final['depth']} best ({telling})"


def _chosen(chosen: Json) -> list[Part]:
    rows: list[Row] = [
        [name, ", ".join(f"{key} {value:g}" for key, value in parameters.items())]
        for name, parameters in chosen["baselines"].items()
    ]
    for name in ("baseline_fusion", "fusion"):
        weights = ", ".join(f"{value:g} {key}" for key, value in chosen[name]["weights"].items())
        rows.append([name, f"{weights} (of {chosen[name]['num_candidates']} candidates)"])
    rows.append(["kinrec", _final(chosen["kinrec"])])
    notes = [text(f"Test is ranked with what {TOLD_BY[chosen['knowledge']]} tells.")]
    notes += [
        text(
            Code(name),
            ": every candidate was below one of its parts on valid by HR@10 or MRR; the least bad was taken.",
        )
        for name in ("baseline_fusion", "fusion")
        if chosen[name]["below_parts"]
    ]
    ridge = chosen["ridge_users"]
    if ridge["used"] < ridge["all"]:
        notes.append(text(f"The ridge was fitted on a random {ridge['used']} of {ridge['all']} users."))
    return [Table(["system", "parameters or weights"], rows), *notes]
