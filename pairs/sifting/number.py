"""Final numbers for what is kept: users by id, items by domain and id, each without gaps."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from pairs.sifting.bands import Bands, Ints
from pairs.sifting.core import Core
from pairs.sifting.item_codes import ItemCodes
from pairs.sifting.read_pair import RawPair


@dataclass(frozen=True)
class Numbered:
    """The interactions of a core with their final numbers, band by band."""

    bands: Bands
    core: Core
    num_x_codes: int

    @property
    def num_items(self) -> int:
        """Items of both domains."""
        return int(self.core.items.sum())

    @property
    def num_users(self) -> int:
        """Users."""
        return sum(int(kept.sum()) for kept in self.core.users)

    def events(self) -> Iterator[pl.DataFrame]:
        """user, item, domain, time (all integers) of each band, sorted by user, time, item; users ascending."""
        item_number = np.cumsum(self.core.items) - 1
        first_user = 0
        for index, band in enumerate(self.bands):
            kept = self.core.users[index]
            inside = band.take(self.core.rows(index, band))
            columns = {
                "user": (np.cumsum(kept) - 1 + first_user)[inside.user],
                "item": item_number[inside.item],
                "domain": (inside.item >= self.num_x_codes).astype(np.int8),
                "time": inside.time,
            }
            yield pl.DataFrame(columns).sort("user", "time", "item")
            first_user += int(kept.sum())

    def times(self) -> Iterator[Ints]:
        """When, band by band."""
        for index, band in enumerate(self.bands):
            yield band.time[self.core.rows(index, band)]

    def users(self) -> Iterator[pl.DataFrame]:
        """user, source_id, band by band, ascending."""
        first_user = 0
        for index, kept in enumerate(self.core.users):
            source_ids = self.bands.source_ids(index).filter(pl.Series(kept))
            users = pl.int_range(first_user, first_user + len(source_ids), eager=True, dtype=pl.Int64)
            yield pl.DataFrame({"user": users, "source_id": source_ids})
            first_user += len(source_ids)


def number_items(codes: ItemCodes, core: Core, raw: RawPair) -> pl.DataFrame:
    """item, domain, source_id, title, attributes of the core's items, in order; one without a title has its source id
    for one."""
    kept = codes.items.filter(pl.Series(core.items))
    texts = []
    for domain, catalogue in enumerate(raw.catalogues):
        mine = catalogue.texts(kept.filter(pl.col("domain") == domain)["item"])
        texts.append(mine.with_columns(domain=pl.lit(domain, pl.Int8)))
    items = kept.join(pl.concat(texts), on=["domain", "item"], how="left", maintain_order="left")
    titled = pl.col("title").fill_null("") != ""
    return items.with_row_index("number").select(
        pl.col("number").cast(pl.Int64).alias("item"),
        "domain",
        pl.col("item").alias("source_id"),
        pl.when(titled).then("title").otherwise("item").alias("title"),
        pl.col("attributes").fill_null(""),
    )
