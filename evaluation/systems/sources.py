"""The rankings that other stages left in the run folder, aligned with a split's samples."""

import dataclasses
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluation.ranked_lists import RankedLists, read_column
from evaluation.systems.stored_lists import StoredLists
from launch.errors import InputError
from launch.stages import stage_named
from launch.state.states import state_of
from launch.systems import FUSED, GRAPH_PARTS, GRAPH_SYSTEMS, TAUGHT, WRITER
from pairs.tables import Ints, Items, Samples

log = logging.getLogger(__name__)
Judged: TypeAlias = Literal["valid", "test"]
JUDGED_SPLITS: tuple[Judged, ...] = ("valid", "test")
ListsOf: TypeAlias = Literal["train", "valid", "test", "refit", "rolling"]
"""What lists are of: a split; or test from all that is known at its cut, or with sales until each question."""


@dataclass(frozen=True)
class Answered:
    """What the language model answered of N samples."""

    covered: NDArray[np.bool_]
    """[N] whether the LLM answered the sample; all true where there is no LLM."""
    in_domain: list[list[bool]]
    """[N] for each generated text, whether it stands for an item of the asked domain; [] where there is none."""


@dataclass(frozen=True)
class Sources(Answered):
    """Lists of the graph and the LLM; row n belongs to sample n."""

    lists: dict[str, RankedLists]

    def take(self, rows: Ints, systems: Iterable[str] | None = None) -> "Sources":
        """Those of some rows, and of some systems."""
        lists = {name: self.lists[name].take(rows) for name in _asked(systems, self.lists)}
        return Sources(self.covered[rows], [self.in_domain[row] for row in rows.tolist()], lists)

    @property
    def fused(self) -> dict[str, RankedLists]:
        """The lists that a fusion may take."""
        return {name: lists for name, lists in self.lists.items() if name in FUSED}

    @property
    def nominating(self) -> dict[str, RankedLists]:
        """The lists that name candidates: those that may be fused, and those that the list ranker may be given."""
        return {name: lists for name, lists in self.lists.items() if name in {*FUSED, *TAUGHT}}


@dataclass(frozen=True)
class StoredSources(Answered):
    """The same of a split or of a part of it, in their files."""

    sample: Ints
    """[N]."""
    lists: dict[str, StoredLists]

    def take(self, rows: Ints, systems: Iterable[str] | None = None) -> Sources:
        """Those of some rows, and of some systems, read."""
        sample = self.sample[rows]
        lists = {name: self.lists[name].of_samples(sample) for name in _asked(systems, self.lists)}
        return Sources(self.covered[rows], [self.in_domain[row] for row in rows.tolist()], lists)

    def part(self, rows: Ints) -> "StoredSources":
        """Those of some rows, in their files."""
        lists = {name: dataclasses.replace(stored, sample=self.sample[rows]) for name, stored in self.lists.items()}
        in_domain = [self.in_domain[row] for row in rows.tolist()]
        return StoredSources(self.covered[rows], in_domain, self.sample[rows], lists)


def _asked(systems: Iterable[str] | None, present: Iterable[str]) -> list[str]:
    return [name for name in present if systems is None or name in set(systems)]


AnySources: TypeAlias = Sources | StoredSources


def list_path(run_dir: Path, system: str, split: ListsOf) -> Path:
    """Where the lists of a system are."""
    return run_dir / "lists" / f"{system}_{split}.parquet"


def present_systems(run_dir: Path) -> list[str]:
    """Which systems of other stages this run has; a file that a finished stage should have left must be there.

    Lists of a stage that has not finished, or whose inputs have changed since, are not read.
    """
    present = []
    for system, writer in WRITER.items():
        state = state_of(run_dir, stage_named(writer), outside=False)
        missing = [path for split in JUDGED_SPLITS if not (path := list_path(run_dir, system, split)).is_file()]
        if missing and system in GRAPH_PARTS:
            continue
        if state.holds and missing:
            raise InputError(f"{missing[0]}: no such file; run `kinrec {writer}` again")
        if state.holds or (state.kind == "absent" and not missing):
            present.append(system)
        else:
            why = f"is {state.kind}" + (f": {state.why}" if state.why else "")
            say = log.info if state.kind == "absent" else log.warning
            say("no lists of %s (stage %s %s): it is left out of the report", system, writer, why)
    return present


def load_sources(
    run_dir: Path, systems: list[str], *, split: Judged, samples: Samples, items: Items, of_graph: ListsOf | None = None
) -> StoredSources:
    """The lists of `systems`, joined with the samples; what they hold is checked against the catalogue when it is read.

    Args:
        of_graph: which of the graph's lists to take; None: those of the split.
    """
    lists: dict[str, StoredLists] = {}
    covered_N = np.ones(len(samples), dtype=bool)
    in_domain: list[list[bool]] = [[]] * len(samples)
    for system in systems:
        of_what = of_graph if of_graph is not None and system in GRAPH_SYSTEMS else split
        if of_what == "rolling" and not list_path(run_dir, system, of_what).is_file():
            of_what = "refit"  # what reads no clock says the same
        stored = StoredLists(list_path(run_dir, system, of_what), samples.sample, items.num_items, WRITER[system])
        if system == "llm":  # it may have answered some of the samples only (generation.max_samples)
            covered_N = stored.listed
            sample, flags = read_column(stored.path, "in_domain")
            by_sample = dict(zip(sample.tolist(), flags, strict=True))
            in_domain = [by_sample.get(sample) or [] for sample in samples.sample.tolist()]
            lists[system] = stored
        else:
            lists[system] = stored.complete()
    if not covered_N.all():
        log.info("%s: the LLM answered %d of %d samples", split, int(covered_N.sum()), len(samples))
    return StoredSources(covered_N, in_domain, samples.sample, lists)


def lists_of_train(run_dir: Path, system: str, items: Items) -> RankedLists | None:
    """A system's lists of train samples that it was told nothing of; None where there are none."""
    path = list_path(run_dir, system, "train")
    if not path.is_file():
        return None
    stored = StoredLists(path, np.zeros(0, np.int64), items.num_items, WRITER[system])
    return stored.of_samples(stored.in_file)
