"""The same interactions as X and as Y are found from what they are, in whatever form, order or number."""

import json
import logging
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.finding.find_files import find_files
from pairs.sifting import shared
from pairs.sifting.read_pair import read_pair
from pairs.sifting.shared import Sketch, refuse_shared

SHARE = 0.05
"""How far off the sketch of a few thousand interactions may be."""


def interactions(count: int, *, seed: int = 1, domain: str = "i") -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    users, items = draw.integers(0, 100, count), draw.integers(0, 50, count)
    return pl.DataFrame(
        {
            "user": [f"u{user}" for user in users],
            "item": [f"{domain}{item}" for item in items],
            "time": 1_500_000_000 + draw.permutation(count),
            "rating": draw.integers(1, 6, count).astype(float),
        }
    )


def write(path: Path, table: pl.DataFrame) -> str:
    match path.suffix:
        case ".csv":
            table.write_csv(path)
        case ".parquet":
            table.write_parquet(path)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in table.to_dicts()), encoding="utf-8")
    return str(path)


def read(tmp_path: Path, x: list[str], y: list[str]) -> None:
    config = PairConfig(source="tables", require_title=False, reviews_x=x, reviews_y=y)
    read_pair(*find_files(config), config, scratch=tmp_path)


def refusal(tmp_path: Path, x: list[str], y: list[str]) -> str:
    with pytest.raises(InputError) as refused:
        read(tmp_path, x, y)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_the_same_interactions_in_another_order_or_form_are_refused(tmp_path: Path, form: str) -> None:
    table = interactions(3000)
    x = write(tmp_path / "x.csv", table)
    y = write(tmp_path / f"y.{form}", table.sample(fraction=1.0, shuffle=True, seed=2))
    said = refusal(tmp_path, [x], [y])
    assert "100 %" in said
    assert "x.csv" in said
    assert f"y.{form}" in said


def test_other_ratings_do_not_make_others_of_the_same_interactions(tmp_path: Path) -> None:
    table = interactions(50)
    x = write(tmp_path / "x.csv", table)
    y = write(tmp_path / "y.jsonl", table.with_columns(rating=pl.lit(3.0)))
    assert "100 %" in refusal(tmp_path, [x], [y])


def test_files_divided_otherwise_are_refused(tmp_path: Path) -> None:
    table = interactions(3000)
    x = [write(tmp_path / "a.csv", table[:1000]), write(tmp_path / "b.csv", table[1000:])]
    y = [write(tmp_path / "c.jsonl", table[::2]), write(tmp_path / "d.csv", table[1::2])]
    assert "the same interactions" in refusal(tmp_path, x, y)


def test_a_part_of_one_domain_as_the_other_is_refused(tmp_path: Path) -> None:
    table = interactions(3000)
    x, y = write(tmp_path / "x.csv", table), write(tmp_path / "y.csv", table[-300:].reverse())
    assert "100 %" in refusal(tmp_path, [x], [y])


def test_nearly_the_same_is_refused_and_a_few_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table, other = interactions(3000), interactions(3000, seed=2, domain="k")
    x = write(tmp_path / "x.csv", table)
    most = write(tmp_path / "most.csv", pl.concat([table[:2400].reverse(), other[:600]]))
    few = write(tmp_path / "few.csv", pl.concat([other, table[:300].reverse()]))
    assert "80 %" in refusal(tmp_path, [x], [most])
    with caplog.at_level(logging.WARNING):
        read(tmp_path / "one", [x], [few])
    assert "10 % of the interactions" in caplog.text


def test_different_domains_pass_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = interactions(3000)
    x = write(tmp_path / "x.csv", table)
    y = write(tmp_path / "y.csv", table.with_columns(item=pl.lit("k") + pl.col("item")))
    with caplog.at_level(logging.WARNING):
        read(tmp_path, [x], [y])
    assert caplog.text == ""


@pytest.mark.parametrize(("num_x", "num_y", "both"), [(9000, 9000, 4500), (9000, 900, 450), (500, 9000, 0)])
def test_the_sketch_tells_the_share_of_the_smaller(
    monkeypatch: pytest.MonkeyPatch, num_x: int, num_y: int, both: int
) -> None:
    monkeypatch.setattr(shared, "SKETCHED", 2000)
    table = interactions(num_x + num_y)
    x, y = Sketch(), Sketch()
    for part in table[:num_x].iter_slices(700):
        x.add(part)
    for part in pl.concat([table[:both].reverse(), table[num_x : num_x + num_y - both]]).iter_slices(700):
        y.add(part)
    assert x.share_in(y) == y.share_in(x)
    assert abs(x.share_in(y) - both / min(num_x, num_y)) < SHARE
    assert all(len(sketch.hashes()) <= 2000 for sketch in (x, y))  # so many, however much is read


def test_nothing_in_common_or_nothing_at_all_is_not_refused() -> None:
    x, y = Sketch(), Sketch()
    assert x.share_in(y) == 0
    x.add(interactions(9))
    assert x.share_in(y) == 0
    refuse_shared(x, y, [Path("x")], [Path("y")])
