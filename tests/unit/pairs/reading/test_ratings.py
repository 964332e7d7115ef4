"""Ratings-only CSVs: three crawls, two orders of the same four fields, never guessed in silence."""

from pathlib import Path

import polars as pl
import pytest

from launch.errors import InputError
from pairs.reading.amazon import read_reviews
from pairs.reading.bad_rows import Ledger

Row = tuple[str, str, int, float]
U, V = "A2IBPI20UZIR0U", "AE22IFBGJ2ZBJDQ5WGGSDRTKA3YA"
T = 1_500_000_000
ITEM, BOOK = "B004LLIKVU", "000100039X"


def rows(tmp_path: Path, text: str, order: str = "auto") -> list[Row]:
    path = tmp_path / "ratings_Art.csv"
    path.write_text(text, encoding="utf-8")
    return [(u, i, t, r) for u, i, t, r in pl.concat(read_reviews(path, Ledger(0.0), order=order)).rows()]


@pytest.mark.parametrize(
    "text",
    [
        f"{U},{ITEM},5.0,1381536000\n{V},{BOOK},1.0,{T}\n",
        f"{ITEM},{U},5.0,1381536000\r\n{BOOK},{V},1.0,{T}\r\n",
        f"user_id,parent_asin,rating,timestamp\n{U},{ITEM},5.0,1381536000123\n{V},{BOOK},1.0,{T}\n",
        f"\ufeffuser_id,parent_asin,rating,timestamp,history\n{U},{ITEM},5.0,1381536000,\n{V},{BOOK},1.0,{T},X Y\n",
    ],
    ids=["2014", "2018", "2023", "2023 with histories"],
)
def test_every_crawl_gives_the_same_rows(tmp_path: Path, text: str) -> None:
    assert rows(tmp_path, text) == [(U, ITEM, 1_381_536_000, 5.0), (V, BOOK, T, 1.0)]


def test_ids_that_do_not_tell_are_refused_until_the_recipe_tells(tmp_path: Path) -> None:
    text = "17,4,5.0,1500000100\n18,4,3.0,1500000200\n"
    with pytest.raises(InputError, match=r"set pair\.ratings_order to user_item"):
        rows(tmp_path, text)
    assert rows(tmp_path, text, "user_item")[0][:2] == ("17", "4")
    assert rows(tmp_path, text, "item_user")[0][:2] == ("4", "17")


def test_ids_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="do not tell users from items"):
        rows(tmp_path, f"{U},{ITEM},5.0,{T}\n{ITEM},{U},5.0,{T}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{U},{ITEM},5.0,{T}\n{U},{ITEM},5.0\n", "line 2: timestamp must be a number"),
        (f"{U},{ITEM},5.0,{T}\n{U},{ITEM},5.0,2,3\n", "line 2: has a wrong number of fields, expected user, item"),
        (f"{U},{ITEM},5.0,{T}\n{U},{ITEM},5.0,NaN\n", "line 2: timestamp must be a number"),
        (f"{U},{ITEM},5.0,{T}\n{U},{ITEM},5.0,-4\n", "line 2: timestamp must not be negative"),
        (f"{U},{ITEM},5.0,{T}\n\n,{ITEM},5.0,{T}\n", "line 3: user must be text"),
        (f'{U},{ITEM},5.0,{T}\n"{U},{ITEM},5.0,{T}\n{U},{ITEM},5.0,{T}\n', "line 2: is no CSV record; 1 of the 3"),
        ("user_id,rating\n1,2\n", "expected user_id, parent_asin and timestamp"),
    ],
)  # fmt: skip
def test_bad_line_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        rows(tmp_path, text)
