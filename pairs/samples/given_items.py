"""Read somebody's own table of items: item, domain, title, attributes."""

from collections.abc import Sequence

import polars as pl

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.reading.bad_rows import Ledger
from pairs.reading.raw_keys import LONGEST_ID
from pairs.reading.text import attribute_words, clean_titles, cut_titles
from pairs.samples.item_order import draw_order
from pairs.samples.strict_rows import Field, StrictFile

FIELDS = (
    Field("item", "text"),
    Field("domain", "text"),
    Field("title", "text", required=False),
    Field("attributes", "words", required=False),
)


def read_given_items(
    files: Sequence[StrictFile], config: PairConfig, ledger: Ledger
) -> tuple[pl.DataFrame, tuple[str, str]]:
    """item (row number), domain, source_id, title, attributes; and the domains' names, X first."""
    tables = []
    for place, file in enumerate(files):
        count = ledger.open(file.path, unit=file.unit)
        for rows in file.read(FIELDS):
            count.good += rows.height
            tables.append(_clean(file, rows, config).with_columns(file=pl.lit(place, pl.Int32)))
    table = pl.concat(tables) if tables else pl.DataFrame()
    if table.is_empty():
        raise InputError(f"{files[0].path}: holds no item: an empty domain; add the items of both domains")
    again = table.filter(~pl.col("item").is_first_distinct()).head(1)
    if again.height:
        files[again["file"][0]].refuse(again["number"][0], f"item {again['item'][0]!r} is there already")
    names = _name_domains(files, table, config)
    numbered = [_number(table.filter(pl.col("domain") == name), d, config) for d, name in enumerate(names)]
    items = pl.concat(numbered).with_row_index("row")
    return items.select(pl.col("row").cast(pl.Int64).alias("item"), "domain", "source_id", "title", "attributes"), names


def _clean(file: StrictFile, rows: pl.DataFrame, config: PairConfig) -> pl.DataFrame:
    for name in ("item", "domain"):
        file.refuse_where(rows, pl.col(name).fill_null("") == "", f"has no {name}")
    too_long = pl.col("item").str.len_bytes() > LONGEST_ID
    file.refuse_where(rows, too_long, f"its item must not be longer than {LONGEST_ID} bytes")
    titled = cut_titles(clean_titles(rows, "title"), "title", max_chars=config.max_title_chars)
    if config.require_title:
        advice = "has no title for item {item!r} (pair.require_title=false lets ids stand for titles)"
        file.refuse_where(titled, pl.col("title") == "", advice)
    return titled.select(
        "number",
        "item",
        pl.col("domain").str.strip_chars(),
        title=pl.when(pl.col("title") == "").then("item").otherwise("title"),
        attributes=attribute_words("attributes"),
    )


def _name_domains(files: Sequence[StrictFile], table: pl.DataFrame, config: PairConfig) -> tuple[str, str]:
    """The two names of the column `domain`: as `pair.domains` orders them, else in order."""
    domains = table["domain"].unique().sort().to_list()
    if len(domains) != 2:
        some = ", ".join(map(repr, domains[:5]))
        raise InputError(
            f"{files[0].path}: names {len(domains)} domains ({some}), a pair has two; mend the column 'domain'"
        )
    if config.domains and sorted(config.domains) != domains:
        raise InputError(
            f"{files[0].path}: names the domains {domains[0]!r} and {domains[1]!r}, pair.domains has {config.domains}; "
            "give them alike, X first"
        )
    x, y = config.domains or domains
    return x, y


def _number(items: pl.DataFrame, domain: int, config: PairConfig) -> pl.DataFrame:
    """One domain's items in the order of their numbers."""
    places = draw_order(items.height, domain=domain, seed=config.split_seed)
    return (
        items.sort("item")
        .with_columns(place=pl.Series(places))
        .sort("place")
        .select(pl.lit(domain, pl.Int8).alias("domain"), pl.col("item").alias("source_id"), "title", "attributes")
    )
