"""Prepare the real pairs; the counts are those that are known of them."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from launch.artifacts import read_json
from pairs.config import PairConfig
from pairs.prepare import prepare
from pairs.reading.amazon import read_metadata, read_reviews
from pairs.tables import load_pair, load_samples

DATA = Path(__file__).parents[2].parent / "shared" / "data"
ART_OFFICE = DATA / "amazon_art_office"
FOOD_KITCHEN = DATA / "amazon_2014_food_kitchen"
GIFT_CARDS = DATA / "amazon_2018_gift_cards"


def needs(folder: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not folder.is_dir(), reason=f"the real data is not at {folder}")


def prepared(folder: Path, tmp_path_factory: pytest.TempPathFactory, **config: Any) -> Path:
    if not folder.is_dir():
        pytest.skip(f"the real data is not at {folder}")
    run_dir = tmp_path_factory.mktemp(folder.name)
    prepare(PairConfig(path=str(folder), **config), run_dir=run_dir)
    return run_dir


@pytest.fixture(scope="module")
def art_office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(ART_OFFICE, tmp_path_factory, source="released")


@pytest.fixture(scope="module")
def food_kitchen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(FOOD_KITCHEN, tmp_path_factory, source="amazon", splits="time", domains=["Food", "Kitchen"])


def test_art_office_has_the_published_counts(art_office: Path) -> None:
    items = load_pair(art_office).items
    assert (items.num_x, items.num_items - items.num_x) == (18_639, 19_757)
    assert [len(load_samples(art_office, split)) for split in ("train", "valid", "test")] == [16_000, 1_154, 2_000]


def test_art_office_card_says_what_is_wrong_with_it(art_office: Path) -> None:
    card = read_json(art_office / "pair" / "card.json")
    assert card["order"] == "synthetic"
    assert card["twin_users_share"] == 1.0
    assert card["unseen_targets"]["test"]["all"] == pytest.approx(0.049, abs=5e-4)
    assert card["users"]["disjoint"] is True
    assert [card["users"][split] for split in ("train", "valid", "test")] == [8_000, 577, 1_000]
    assert card["duplicate_titles"] == {"X": 73, "Y": 108}


def test_art_office_samples_equal_the_lines_of_the_file(art_office: Path) -> None:
    lines = pl.read_csv(
        ART_OFFICE / "test.txt.gz", has_header=False, separator="\n", new_columns=["line"], quote_char=None
    )["line"]
    test = load_samples(art_office, "test")
    for row in range(0, 2000, 97):
        fields = lines[row].rstrip("\t").split("\t")
        items = [int(field.split("|")[0]) for field in fields[2:]]
        assert test.user[row] == int(fields[0])
        assert [*test.history_of(row).tolist(), test.target[row]] == items


def test_art_office_order_is_not_given_as_time(art_office: Path) -> None:
    assert load_samples(art_office, "train").history_time is None


def test_food_kitchen_counts_are_known_before_any_filter(food_kitchen: Path) -> None:
    steps = read_json(food_kitchen / "pair" / "card.json")["filters"]
    assert (steps["read"]["X"], steps["read"]["Y"]) == (76_212, 89_017)
    assert steps["titled_items"] == {"X": 7_601, "Y": 15_756}
    assert steps["read"]["users_of_both"] == 7_140


def test_food_kitchen_is_split_in_time(food_kitchen: Path) -> None:
    card = read_json(food_kitchen / "pair" / "card.json")
    assert card["order"] == "chronological"
    splits = {split: load_samples(food_kitchen, split) for split in ("train", "valid", "test")}
    first, second = (np.datetime64(cut.rstrip("Z"), "s").astype(np.int64) for cut in card["cuts"])
    times = {split: table.target_time for split, table in splits.items()}
    assert times["train"] is not None
    assert times["valid"] is not None
    assert times["test"] is not None
    assert times["train"].max() <= first < times["valid"].min()
    assert times["valid"].max() <= second < times["test"].min()
    for table in splits.values():
        assert table.history_time is not None
        assert table.target_time is not None
        assert (table.history_time < np.repeat(table.target_time, table.lengths)).all()
        assert set(table.domain.tolist()) == {0, 1}


@needs(GIFT_CARDS)
def test_gift_cards_of_2018_are_read_whole() -> None:
    assert pl.concat(read_reviews(GIFT_CARDS / "Gift_Cards_5.json.gz")).height == 2_972
    items = pl.concat(read_metadata(GIFT_CARDS / "meta_Gift_Cards.json.gz"))
    assert items.height == 1_547
    assert items["attributes"].str.starts_with("gift cards").mean() > 0.99  # type: ignore[operator]  # a float


def test_art_office_passes_the_audit_but_for_the_repeats_that_it_was_published_with(art_office: Path) -> None:
    audit = read_json(art_office / "pair" / "card.json")["audit"]
    assert audit["target_in_history"]["allowed"] is True
    assert {check: entry["found"] for check, entry in audit.items()} == {
        "user_in_two_splits": 0,
        "history_later_than_target": None,
        "target_in_history": 139,
        "held_out_in_train": 0,
        "identical_histories": 0,
    }


def test_food_kitchen_passes_the_audit(food_kitchen: Path) -> None:
    audit = read_json(food_kitchen / "pair" / "card.json")["audit"]
    assert {entry["found"] for entry in audit.values()} == {0}
    assert "train_later_than_held_out" in audit


def test_art_office_ids_follow_purchases_and_the_card_says_so(art_office: Path) -> None:
    closeness = read_json(art_office / "pair" / "card.json")["id_closeness"]
    assert closeness["test"] == {"targets": 0.082, "by_chance": pytest.approx(0.0022, abs=1e-4)}
    assert closeness["ids_follow_purchases"] is True


def test_food_kitchen_ids_are_drawn_and_close_by_chance_alone(food_kitchen: Path) -> None:
    closeness = read_json(food_kitchen / "pair" / "card.json")["id_closeness"]
    assert closeness["ids_follow_purchases"] is False
    assert closeness["test"]["targets"] / closeness["test"]["by_chance"] < 1.5
