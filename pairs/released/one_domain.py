"""Users of one domain of a released pair: `one_domain.txt`, whose lines are those of samples, one a user."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from launch.errors import InputError
from pairs.reading.raw_files import find_one
from pairs.released.sample_lines import read_sample_lines, refuse_line
from pairs.samples.one_domain import ADVICE, NOT_READ, ONE_DOMAIN

NAME = f"{ONE_DOMAIN}.txt"
log = logging.getLogger(__name__)


def find_one_domain(folder: Path, *, asked: bool) -> Path | None:
    """The file, if it is asked for; InputError if it is and is not there."""
    path = find_one(folder, NAME)
    if asked and path is None:
        raise InputError(f"{folder / NAME}[.gz]: no such file; {ADVICE}")
    if path is not None and not asked:
        log.info(NOT_READ, path)
    return path if asked else None


def read_one_domain(
    path: Path, samples: Sequence[tuple[Path, pl.DataFrame]], *, domain_of: npt.NDArray[np.int8]
) -> pl.DataFrame:
    """The events of its lines (line, user, item, time, domain), checked.

    Args:
        samples: the files of samples, and their events.
        domain_of: the items' domains [I].
    """
    events = read_sample_lines(path, num_items=len(domain_of))
    lines = events.group_by("line", maintain_order=True).agg(pl.col("user").first())
    again = ~pl.col("user").is_first_distinct()
    refuse_line(path, lines, again, "is the second of user {user}, a user of one domain has one line")
    for asked_in, asked in samples:
        both = lines.join(asked.select("user").unique(), on="user", how="semi", maintain_order="left")
        what = f"has user {{user}}, who is in {asked_in.name}, too: who is asked about teaches by his samples"
        refuse_line(path, both, pl.lit(True), what)
    return events.with_columns(domain=pl.Series(domain_of[events["item"].to_numpy()], dtype=pl.Int8))
