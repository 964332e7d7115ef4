"""The one table of all systems that a report judges, in the report's order: where each list comes from, and which
systems it is compared with."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class System:
    """One row of the table."""

    by: Literal["baseline", "pretrain", "generate", "evaluate"]
    """Who makes its lists: the evaluate stage by a fit (`evaluation.systems.baseline_table` says how), another stage,
    or the evaluate stage out of other lists."""
    meaning: str
    """For who reads the row, in a line."""
    against: tuple[str, ...] = ()
    """The systems from which its difference is tested."""


SYSTEM_TABLE = {
    "popularity": System("baseline", "how many users of train have an item"),
    "recent": System(
        "baseline",
        "how often an item sold of late: sales that fade with a half-life, chosen for each domain",
        against=("popularity",),
    ),
    "markov": System("baseline", "what users took next after an item of the history"),
    "item_cosine": System("baseline", "items that the same users have, by how many they share"),
    "recent_cosine": System(
        "baseline", "the same, a purchase counting the less the older it is", against=("item_cosine",)
    ),
    "ridge": System("baseline", "ridge regression from the items of a history to the next one"),
    "text": System("baseline", "likeness of titles and attributes to those of the history, on average"),
    "text_squares": System(
        "baseline", "the same, each item of the history voting by its likeness squared", against=("text",)
    ),
    "baseline_fusion": System("evaluate", "the best sum of the baselines above, chosen on valid", against=("ridge",)),
    "evidence_untrained": System(
        "pretrain", "the graph's co-occurrence and words, with the weights that they start from"
    ),
    "evidence": System(
        "pretrain",
        "the same with trained weights: the graph model without its encoders",
        against=("evidence_untrained",),
    ),
    "encoders": System("pretrain", "the graph model's encoders alone, which also make the users' vectors"),
    "graph": System("pretrain", "the graph model: evidence and encoders", against=("item_cosine", "evidence")),
    "llm": System(
        "generate",
        "the fine-tuned language model: what it writes, grounded to items, or how it orders candidates",
        against=("graph",),
    ),
    "paper_refined": System(
        "evaluate", "the publication's list: what the language model wrote, refined by likeness to it"
    ),
    "fusion": System(
        "evaluate",
        "the best sum of baseline_fusion, graph and llm, chosen on valid",
        against=("baseline_fusion", "graph"),
    ),
    "kinrec": System(
        "evaluate",
        "the final list: the list ranker's, or the fusion where that is as good on valid; kinrec recommend gives it",
        against=("fusion", "baseline_fusion", "graph", "paper_refined"),
    ),
}
FINAL = "kinrec"
SYSTEMS = tuple(SYSTEM_TABLE)
BASELINES = tuple(name for name, system in SYSTEM_TABLE.items() if system.by == "baseline")
WRITER = {name: system.by for name, system in SYSTEM_TABLE.items() if system.by in {"pretrain", "generate"}}
"""The stage that writes the lists of a system, where another than evaluate does."""
GRAPH_SYSTEMS = tuple(name for name, writer in WRITER.items() if writer == "pretrain")
FUSED = ("graph", "llm")
"""Systems of other stages that are fused with the baselines."""
TAUGHT = ("evidence",)
"""Systems of other stages that the list ranker learns from."""
GRAPH_PARTS = tuple(name for name in GRAPH_SYSTEMS if name != "graph")
"""Rows of a report that a model without evidence does not have."""
JUDGED = tuple(name for name in SYSTEMS if name not in WRITER)
"""Systems whose lists the evaluate stage makes."""
COMPARED = tuple(
    (name, other)
    for name in (FINAL, *(name for name in SYSTEMS if name != FINAL))
    for other in SYSTEM_TABLE[name].against
)
"""Pairs of systems whose difference is tested: those of the final list first."""
TOLD_BY = {"train": "train", "refit": "train and valid", "rolling": "all until each question"}
"""`evaluation.knowledge` -> what tells test's lists what goes together and what sells."""
