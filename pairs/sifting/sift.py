"""From raw files to samples: read, filter, k-core, numbers, split, histories; a band of users at a time."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from launch.errors import InputError
from pairs.card.card import iso
from pairs.card.histograms import MonthCounts
from pairs.config import PairConfig
from pairs.reading.raw_files import RawFiles
from pairs.samples.cut import assign_parts, cut_samples, plan_split
from pairs.samples.spool import SampleSpool, open_spools
from pairs.sifting.core import count_core, find_core
from pairs.sifting.filters import Steps, filter_rows
from pairs.sifting.graph_only import spool_graph_only
from pairs.sifting.item_codes import make_codes
from pairs.sifting.number import Numbered, number_items
from pairs.sifting.read_pair import RawPair, read_pair
from pairs.tables import Split

Facts = dict[str, Any]  # Any: plain JSON values
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sifted:
    """What becomes the pair's tables."""

    names: tuple[str, str]
    items: pl.DataFrame
    """item (row number), domain, source_id, title, attributes."""
    users: Iterable[pl.DataFrame]
    """user, source_id; users ascending."""
    spools: Mapping[Split, SampleSpool]
    files: list[Path]
    """What was read outside the run."""
    facts: Facts = field(default_factory=dict)
    """For the data card."""
    months: Facts | None = None
    """Kept interactions of each domain by month."""
    graph_only: SampleSpool | None = None
    """Users for the item graphs alone."""


def sift_pair(x: RawFiles, y: RawFiles, config: PairConfig, *, scratch: Path) -> Sifted:
    """The samples of a pair in `scratch`, and what else there is to write."""
    raw = read_pair(x, y, config, scratch=scratch)
    numbered, items, steps = keep_interactions(raw, config, scratch=scratch)
    plan = plan_split(config, num_users=numbered.num_users, times=numbered.times)
    months = MonthCounts()
    spools = open_spools(scratch / "samples")
    for events in numbered.events():
        months.add(events)
        for split, samples in cut_samples(assign_parts(events, plan), config).items():
            spools[split].append(samples)
    graph_only = None
    if config.graph_users == "one_domain":
        graph_only = spool_graph_only(
            numbered.bands,
            numbered.core,
            num_x=numbered.num_x_codes,
            floor=config.floor,
            folder=scratch / "samples",
        )
    kept = steps["kept"]
    one_domain_only = kept["users"] - kept["users_of_both"]
    facts: Facts = {
        "reading": raw.reading,
        "filters": steps,
        "users_needed_in": {"domains": config.users, "users_of_one_domain_only": one_domain_only},
        **({"cuts": [iso(cut) for cut in plan.cuts]} if plan.cuts is not None else {}),
    }
    files = [*x.reviews, *x.meta, *y.reviews, *y.meta]
    return Sifted(raw.names, items, numbered.users(), spools, files, facts, months.describe(), graph_only)


def keep_interactions(raw: RawPair, config: PairConfig, *, scratch: Path) -> tuple[Numbered, pl.DataFrame, Steps]:
    """The interactions that pass every filter, their items, and what was there after each step."""
    order_seed = None if config.source == "synthetic" else config.split_seed  # the generator's ids say nothing already
    codes = make_codes(raw.runs.items, raw.catalogues, order_seed=order_seed)
    bands, steps = filter_rows(raw, codes, config, folder=scratch / "bands")
    core = find_core(
        bands,
        num_items=codes.items.height,
        num_x=codes.num_x,
        k_core=config.k_core,
        floor=config.floor,
        users_of=config.users,
        shrink=config.graph_users == "none",
    )
    steps["kept"] = count_core(bands, core, num_x=codes.num_x)
    numbered = Numbered(bands, core, codes.num_x)
    if numbered.num_users == 0:
        which = "each" if config.users == "both" else "one"
        raise InputError(
            f"no user has {config.floor} interactions in {which} of {raw.names[0]} and {raw.names[1]} after "
            "filtering (an empty domain); lower pair.k_core or pair.min_interactions, or check that both categories "
            "are of the same crawl"
        )
    log.info(
        "kept %d of %d interactions, %d items, %d users",
        steps["kept"]["X"] + steps["kept"]["Y"], raw.runs.num_rows, numbered.num_items, numbered.num_users,
    )  # fmt: skip
    return numbered, number_items(codes, core, raw), steps
