"""What the rows, columns and slices of a report mean."""

from collections.abc import Iterable

from evaluation.report.report_parts import Folded, Table
from launch.systems import SYSTEM_TABLE

COLUMNS = (
    ("HR@k", "hit rate: the share of samples whose target is among the first k of the list"),
    ("NDCG@k", "the mean of 1 / log2(1 + rank) over samples whose target is among the first k, 0 for the others"),
    ("MRR, MRR@k", "mean reciprocal rank: the mean of 1 / rank, 0 where the target is not ranked (or not among k)"),
    ("95 %", "the interval that holds 95 % of the means of resampled users; paired: of two systems' difference"),
    ("p", "how likely a difference as large is by chance, from the same resamples"),
)
SLICES = (
    ("X, Y", "samples that ask for an item of that domain"),
    ("warm, cold", "three items of the asked domain or more in the history; fewer"),
    ("warm_target, cold_target", "somebody, or nobody, has bought the target in what test's lists know"),
    ("llm_answered", "samples that the language model was asked about"),
)


def legend(systems: Iterable[str]) -> Folded:
    """For the systems that a report has."""
    rows = [(name, SYSTEM_TABLE[name].meaning) for name in systems if name in SYSTEM_TABLE]
    tables = (
        Table(["row", "what it is"], rows),
        Table(["column", "what it says"], COLUMNS),
        Table(["slice", "what is in it"], SLICES),
    )
    return Folded("How to read the tables: rows, columns, slices.", tables)
