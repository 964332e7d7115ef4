"""The rankings that other stages left in the run folder, aligned with a split's samples."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluation.ranked_lists import RankedLists, read_column, read_lists
from launch.errors import InputError
from launch.stages import stage_named
from launch.state.states import state_of
from launch.systems import FUSED, GRAPH_PARTS, GRAPH_SYSTEMS, TAUGHT, WRITER
from pairs.tables import Items, Samples

log = logging.getLogger(__name__)
Judged: TypeAlias = Literal["valid", "test"]
JUDGED_SPLITS: tuple[Judged, ...] = ("valid", "test")
ListsOf: TypeAlias = Literal["train", "valid", "test", "refit"]
"""What lists are of: a split, or test from all that is known at its cut."""


@dataclass(frozen=True)
class Sources:
    """Lists of the graph and the LLM; row n belongs to sample n of the split."""

    lists: dict[str, RankedLists]
    covered: NDArray[np.bool_]
    """[N] whether the LLM answered the sample; all true where there is no LLM."""
    in_domain: list[list[bool]]
    """[N] for each generated text, whether it stands for an item of the asked domain; [] where there is none."""

    @property
    def fused(self) -> dict[str, RankedLists]:
        """The lists that a fusion may take."""
        return {name: lists for name, lists in self.lists.items() if name in FUSED}

    @property
    def nominating(self) -> dict[str, RankedLists]:
        """The lists that name candidates: those that may be fused, and those that the list ranker may be given."""
        return {name: lists for name, lists in self.lists.items() if name in {*FUSED, *TAUGHT}}

    @property
    def graph(self) -> RankedLists | None:
        """The graph's lists, if there are any."""
        return self.lists.get("graph")

    @property
    def llm(self) -> RankedLists | None:
        """The LLM's lists, if there are any."""
        return self.lists.get("llm")


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
    run_dir: Path, systems: list[str], *, split: Judged, samples: Samples, items: Items, refit: bool = False
) -> Sources:
    """Read the lists of `systems` and check them against the catalogue and the samples.

    Args:
        refit: take the graph's lists of test that were made from all that is known at its cut.
    """
    lists: dict[str, RankedLists] = {}
    covered_N = np.ones(len(samples), dtype=bool)
    in_domain: list[list[bool]] = [[] for _ in range(len(samples))]
    for system in systems:
        of_what: ListsOf = "refit" if refit and split == "test" and system in GRAPH_SYSTEMS else split
        path = list_path(run_dir, system, of_what)
        read = _read(path, system, items)
        if system == "llm":  # it may have answered some of the samples only (generation.max_samples)
            lists[system], covered_N = read.aligned(samples.sample)
            sample, flags = read_column(path, "in_domain")
            by_sample = dict(zip(sample.tolist(), flags, strict=True))
            in_domain = [by_sample.get(sample) or [] for sample in samples.sample.tolist()]
        else:
            lists[system] = read.of_samples(samples.sample, source=str(path))
    if not covered_N.all():
        log.info("%s: the LLM answered %d of %d samples", split, int(covered_N.sum()), len(samples))
    return Sources(lists, covered_N, in_domain)


def lists_of_train(run_dir: Path, system: str, items: Items) -> RankedLists | None:
    """A system's lists of train samples that it was told nothing of; None where there are none."""
    path = list_path(run_dir, system, "train")
    return _read(path, system, items) if path.is_file() else None


def _read(path: Path, system: str, items: Items) -> RankedLists:
    read = read_lists(path)
    if read.items.max(initial=0) >= items.num_items:
        raise InputError(
            f"{path}: item {read.items.max()} is not in the catalogue of {items.num_items} items; "
            f"run `kinrec {WRITER[system]}` again"
        )
    return read
