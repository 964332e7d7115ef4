"""Read somebody's own samples: a table of items, and sequences that are divided into train, valid and test already.

The folder holds `items.FORM` and either `samples.FORM` with a column `split`, or `train.FORM`, `valid.FORM` and
`test.FORM`; beside them `one_domain.FORM`, where users of one domain shall teach. Nothing is filtered; what cannot be
meant is refused with file and row. Leaks are the audit's to find.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.finding.same_files import same_files
from pairs.reading.bad_rows import Ledger
from pairs.reading.raw_files import existing_folder, refuse_other_than_file
from pairs.samples.given_items import read_given_items
from pairs.samples.given_numbers import FIELDS, SampleNumbers
from pairs.samples.given_one_domain import OneDomainReader
from pairs.samples.one_domain import ADVICE, NOT_READ, ONE_DOMAIN, OneDomainUsers
from pairs.samples.spool import SampleSpool, open_spools
from pairs.samples.strict_rows import JSON, PARQUET, SEPARATORS, Field, StrictFile
from pairs.tables import SPLITS, Split

FORMS = "|".join((*JSON, *PARQUET, *SEPARATORS))
TABLE = re.compile(rf"(?P<table>.+?)(?:[-_]\d+)?\.(?P<form>{FORMS})(?P<packed>\.gz|\.zst)?", re.IGNORECASE)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GivenPair:
    """What the files hold, with numbers for users and items."""

    names: tuple[str, str]
    items: pl.DataFrame
    """item i64 (row number), domain i8, source_id str, title str, attributes str."""
    users: pl.DataFrame
    """user i64 (in the order in which they come), source_id str."""
    spools: dict[Split, SampleSpool]
    files: list[Path]
    reading: dict[str, Any]  # Any: plain JSON values
    """For the data card."""
    one_domain: OneDomainUsers | None
    """None unless the recipe asks for them."""


def read_given(config: PairConfig, *, scratch: Path) -> GivenPair:
    """The pair in the folder `pair.path`; its samples in `scratch`."""
    folder = existing_folder(config)
    tables = find_tables(folder)
    teaching = _one_domain_files(tables.pop(ONE_DOMAIN, []), config, folder)
    item_files = tables.pop("items")
    _refuse_one_file_twice([file.path for files in (*tables.values(), teaching) for file in files])
    ledger = Ledger(0.0)
    items, names = read_given_items(item_files, config, ledger)
    numbers = SampleNumbers(items)
    spools = _spool_samples(tables, numbers, ledger, folder=folder, scratch=scratch)
    users = numbers.users.frame()
    one_domain = None
    if teaching:
        one_domain = OneDomainUsers(spools, folder=scratch / "samples", first_user=users.height)
        OneDomainReader(numbers, one_domain, ledger).read(teaching)
    read = [file.path for file in ledger.files]
    return GivenPair(names, items, users, spools, read, ledger.describe(), one_domain)


def _spool_samples(
    tables: Mapping[str, Sequence[StrictFile]], numbers: SampleNumbers, ledger: Ledger, *, folder: Path, scratch: Path
) -> dict[Split, SampleSpool]:
    """The samples of all tables; InputError where there are none of a split."""
    spools = open_spools(scratch / "samples")
    num_samples = dict.fromkeys(SPLITS, 0)
    for table, files in tables.items():
        split: Split | None = next((split for split in SPLITS if split == table), None)
        for file in files:
            count = ledger.open(file.path, unit=file.unit)
            for rows in _read_samples(file, split):
                count.good += rows.height
                for part, samples in numbers.take(file, rows).items():
                    spools[part].append(samples)
                    num_samples[part] += len(samples)
    numbers.refuse_duplicates()
    empty = next((split for split, num in num_samples.items() if not num), None)
    if empty is not None:
        raise InputError(f"{folder}: holds no sample of split {empty}; add some, every split needs both domains")
    return spools


def find_tables(folder: Path) -> dict[str, list[StrictFile]]:
    """The files of each table by its name, in order of their names; a table may be in several, NAME-0001 and so on."""
    tables: dict[str, list[StrictFile]] = {}
    known = ("items", "samples", *SPLITS, ONE_DOMAIN)
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        match = TABLE.fullmatch(path.name)
        if match is None:
            continue
        refuse_other_than_file(path)
        if match["table"] not in known:
            raise InputError(
                f"{path}: its name says none of {', '.join(known)}; rename it, or take it out of pair.path"
            )
        if match["packed"] and match["form"].lower() in PARQUET:
            raise InputError(f"{path}: a Parquet file is compressed inside; unpack it")
        tables.setdefault(match["table"], []).append(StrictFile(path, match["form"].lower()))
    if "items" not in tables:
        raise InputError(f"{folder}: holds no items.csv, items.jsonl or items.parquet; pair.path must")
    wanted = ("samples",) if "samples" in tables else SPLITS
    both = next((name for name in SPLITS if name in tables), None)
    if "samples" in tables and both is not None:
        raise InputError(f"{tables['samples'][0].path} and {tables[both][0].path.name}: keep one of them")
    missing = next((name for name in wanted if name not in tables), None)
    if missing is not None:
        raise InputError(
            f"{folder}: holds no {missing}.csv, {missing}.jsonl or {missing}.parquet; add it (or one table samples "
            "with a column split)"
        )
    return {name: tables[name] for name in ("items", *wanted, ONE_DOMAIN) if name in tables}


def _one_domain_files(files: list[StrictFile], config: PairConfig, folder: Path) -> list[StrictFile]:
    """Those that the recipe asks for; InputError if it asks and there are none."""
    if config.graph_users == "none":
        if files:
            log.info(NOT_READ, files[0].path)
        return []
    if not files:
        raise InputError(f"{folder}: holds no {ONE_DOMAIN}.csv, {ONE_DOMAIN}.jsonl or {ONE_DOMAIN}.parquet; {ADVICE}")
    return files


def _refuse_one_file_twice(paths: list[Path]) -> None:
    """InputError if two splits, or two parts of one, are the same file."""
    for place, first in same_files(paths):
        raise InputError(f"{paths[place]}: holds the samples of {paths[first].name}; a sample is of one split, once")


def _read_samples(file: StrictFile, split: Split | None) -> Iterator[pl.DataFrame]:
    """number, split and FIELDS; in a split's own file a column `split` need not be there, and must agree if it is."""
    for rows in file.read([Field("split", "text", required=split is None), *FIELDS]):
        if split is not None:
            file.refuse_where(
                rows, pl.col("split").fill_null(split) != split, f"split is {{split!r}}, in the file of {split}"
            )
            rows = rows.with_columns(split=pl.lit(split))
        yield rows
