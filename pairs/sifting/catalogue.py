"""Keep the catalogue on disk while the interactions are sifted: in memory stays one short row an item, no text.

Of several rows of one item the first with a title counts, else the first.
"""

from pathlib import Path

import polars as pl

ITEM_SCHEMA = {"item": pl.String, "title": pl.String, "attributes": pl.String, "cut": pl.Boolean}
FILE_ROWS = 200_000


class Catalogue:
    """One domain's items, in the order in which they were read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: list[pl.DataFrame] = []
        self._num_waiting = self._num_rows = 0
        self._index: list[pl.DataFrame] = []
        self._paths: list[Path] = []
        folder.mkdir(parents=True)

    def add(self, frame: pl.DataFrame) -> None:
        """Items with cleaned titles, columns as in ITEM_SCHEMA."""
        self._waiting.append(frame)
        self._num_waiting += frame.height
        if self._num_waiting >= FILE_ROWS:
            self._write()

    def choose(self) -> "ChosenItems":
        """One row an item; nothing can be added after this."""
        self._write()
        index = pl.concat(self._index)
        self._index = []
        with_title = index.filter("titled").group_by("item").agg(pl.col("title_hash").n_unique())
        conflicts = with_title.filter(pl.col("title_hash") > 1).height
        first = index.drop("title_hash").sort("titled", "row", descending=[True, False])
        return ChosenItems(first.unique("item", keep="first", maintain_order=True), conflicts, self._paths)

    def _write(self) -> None:
        frame = pl.concat([pl.DataFrame(schema=ITEM_SCHEMA), *self._waiting]).with_row_index("row", self._num_rows)
        self._waiting, self._num_waiting = [], 0
        self._num_rows += frame.height
        self._index.append(
            frame.select("item", "row", "cut", titled=pl.col("title") != "", title_hash=pl.col("title").hash(seed=0))
        )
        path = self._folder / f"items-{len(self._paths):05d}.parquet"
        frame.drop("cut").write_parquet(path, compression="lz4")
        self._paths.append(path)


class ChosenItems:
    """One domain's catalogue with one row an item."""

    def __init__(self, index: pl.DataFrame, num_conflicts: int, paths: list[Path]) -> None:
        self._index = index
        self.num_conflicts = num_conflicts
        """Items that the metadata names twice or more, with different titles."""
        self._paths = paths

    @property
    def num_items(self) -> int:
        """Different items that have a row."""
        return self._index.height

    @property
    def num_titled(self) -> int:
        """Items with a title."""
        return int(self._index["titled"].sum())

    def num_cut(self, *, require_title: bool) -> int:
        """Items whose title was cut."""
        index = self._index.filter("titled") if require_title else self._index
        return int(index["cut"].sum())

    def is_titled(self, items: pl.Series) -> pl.Series:
        """Whether each of `items` has a title."""
        titled = self._index.filter("titled").select("item", titled=True)
        asked = pl.DataFrame({"item": items})
        return asked.join(titled, on="item", how="left", maintain_order="left")["titled"].fill_null(False)

    def texts(self, items: pl.Series) -> pl.DataFrame:
        """item, title, attributes of those of `items` that the catalogue has; in no order."""
        rows = self._index.join(pl.DataFrame({"item": items}), on="item", how="semi").select("row")
        texts = pl.scan_parquet(self._paths).join(rows.lazy(), on="row", how="semi")
        return texts.select("item", "title", "attributes").collect()
