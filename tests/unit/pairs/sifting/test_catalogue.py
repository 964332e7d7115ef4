"""The catalogue on disk against a dictionary: which row of an item counts, what is titled, what conflicts."""

from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairs.sifting import catalogue
from pairs.sifting.catalogue import ITEM_SCHEMA, Catalogue

Row = tuple[str, str, str, bool]  # item, title, attributes, cut
ITEMS = ["a", "b", "c", "é"]

rows_lists = st.lists(
    st.tuples(st.sampled_from(ITEMS), st.sampled_from(["", "one", "two"]), st.sampled_from(["", "w"]), st.booleans()),
    max_size=20,
)


@pytest.mark.parametrize("require_title", [True, False])
@settings(max_examples=60, deadline=None)
@given(rows=rows_lists, piece=st.integers(1, 4), file_rows=st.integers(1, 6))
def test_chosen_rows_are_the_first_with_a_title_else_the_first(
    require_title: bool, rows: list[Row], piece: int, file_rows: int
) -> None:
    chosen: dict[str, Row] = {}
    titles: dict[str, set[str]] = {}
    for row in sorted(rows, key=lambda row: row[1] == ""):
        chosen.setdefault(row[0], row)
        titles.setdefault(row[0], set()).update({row[1]} - {""})
    counted = [row for row in chosen.values() if row[1] or not require_title]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "FILE_ROWS", file_rows)
        written = Catalogue(Path(folder) / "items")
        for begin in range(0, len(rows), piece):
            written.add(pl.DataFrame(rows[begin : begin + piece], schema=ITEM_SCHEMA, orient="row"))
        chosen_items = written.choose()
        texts = chosen_items.texts(pl.Series([*ITEMS, "unknown"]))
        some = chosen_items.texts(pl.Series(["b", "unknown"]))
    assert sorted(texts.rows()) == sorted(row[:3] for row in chosen.values())
    assert some.rows() == [row[:3] for row in chosen.values() if row[0] == "b"]
    assert chosen_items.num_items == len(chosen)
    assert chosen_items.num_titled == sum(row[1] != "" for row in chosen.values())
    assert chosen_items.num_cut(require_title=require_title) == sum(row[3] for row in counted)
    assert chosen_items.num_conflicts == sum(len(different) > 1 for different in titles.values())
    asked = pl.Series([*ITEMS, "unknown", "a"])
    assert chosen_items.is_titled(asked).to_list() == [bool(titles.get(item)) for item in asked]
