"""Numbers for the items that occur: as they come while files are read, then codes in order of their domains."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from pairs.samples.item_order import draw_order
from pairs.sifting.bands import Bools
from pairs.sifting.catalogue import ChosenItems

Codes = npt.NDArray[np.int32]


class ItemNumbers:
    """The items that were seen, numbered in each domain from 0 in no order."""

    def __init__(self) -> None:
        self.known = [pl.DataFrame(schema={"item": pl.String, "number": pl.Int32}) for _ in (0, 1)]

    def number(self, items: pl.Series, *, domain: int) -> Codes:
        """The number of every item; new ones get the next."""
        asked = pl.DataFrame({"item": items})
        new = asked.unique().join(self.known[domain], on="item", how="anti").sort("item")
        first = self.known[domain].height
        numbers = pl.int_range(first, first + new.height, dtype=pl.Int32, eager=True)
        self.known[domain] = pl.concat([self.known[domain], new.with_columns(number=numbers)])
        coded = asked.join(self.known[domain], on="item", how="left", maintain_order="left")["number"]
        return np.asarray(coded.to_numpy(), dtype=np.int32)


@dataclass(frozen=True)
class ItemCodes:
    """Code c stands for the item in row c of `items`."""

    items: pl.DataFrame
    """domain i8, item str."""
    titled: Bools  # [C]
    codes: tuple[Codes, Codes]
    """For each domain the code of every number."""

    @property
    def num_x(self) -> int:
        """Codes of domain X; they come first."""
        return len(self.codes[0])

    def of_number(self, number: npt.NDArray[np.generic], *, domain: int) -> Codes:
        """The codes of items that were numbered while they were read."""
        codes: Codes = self.codes[domain][number]
        return codes

    def domain_of(self, code: Codes) -> npt.NDArray[np.int8]:
        """The domain of every code."""
        return (code >= self.num_x).astype(np.int8)


def make_codes(
    numbers: ItemNumbers, catalogues: tuple[ChosenItems, ChosenItems], *, order_seed: int | None = None
) -> ItemCodes:
    """Codes of the items that were seen, and whether the catalogue has a title for each: each domain's in an order that
    the seed draws, or else sorted by their ids."""
    items, titled, codes = [], [], []
    first = 0
    for domain, (known, catalogue) in enumerate(zip(numbers.known, catalogues, strict=True)):
        ordered = known.sort("item")
        if order_seed is not None:
            ordered = ordered[np.argsort(draw_order(known.height, domain=domain, seed=order_seed))]
        code = np.empty(known.height, dtype=np.int32)
        code[ordered["number"].to_numpy()] = np.arange(first, first + known.height)
        first += known.height
        codes.append(code)
        titled.append(catalogue.is_titled(ordered["item"]))
        items.append(ordered.select(pl.lit(domain, pl.Int8).alias("domain"), "item"))
    return ItemCodes(pl.concat(items), pl.concat(titled).to_numpy(), (codes[0], codes[1]))
