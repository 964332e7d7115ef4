"""The whole preparation: the same bytes whatever the memory, and nothing half-written where it is refused."""

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from launch.artifacts import read_json
from launch.errors import InputError
from pairs.config import PairConfig
from pairs.finding.find_files import find_files
from pairs.prepare import prepare
from pairs.sifting import sorted_runs
from pairs.sifting.read_pair import read_pair
from pairs.sifting.sift import keep_interactions
from pairs.synthetic_config import SyntheticConfig
from pairs.tables import SPLITS, load_pair, load_samples
from tests.raw_pairs import write_lines, write_raw_files

TINY_GIB, SMALL_GIB, LARGE_GIB = 1e-4, 8e-4, 2.0
NUM_USERS = 400
FILES = {
    "card.json", "items.parquet", "users.parquet",
    *(f"{split}{form}" for split in SPLITS for form in (".arrow", ".parquet/part-00000.parquet")),
}  # fmt: skip
CONFIGS: list[dict[str, Any]] = [  # Any: whatever a configuration holds
    {"splits": "time"},
    {"splits": "last_out", "k_core": 3},
    {"splits": "last_one_out", "k_core": 2, "samples_per_user": 2},
    {"splits": "user", "min_interactions": 4},
    {"splits": "last_out", "k_core": 4, "graph_users": "one_domain"},
    {"splits": "time", "duplicates": "last", "users": "either", "k_core": 2, "samples_per_user": 3},
    {"splits": "user", "duplicates": "all", "require_title": False},
    {"splits": "last_out", "duplicates": "all", "audit_allow": ["target_in_history", "held_out_in_train"]},
    {"splits": "user", "users": "either", "min_rating": 3, "max_history": 5, "min_history": 2},
    {"splits": "last_out", "duplicates": "last", "require_title": False, "users": "either", "min_rating": 2},
    {"splits": "time", "require_title": False, "min_rating": 4, "time_from": "2014-08-01", "time_to": "2015-05-01"},
]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw files of several hundred users."""
    return write_raw_files(tmp_path_factory.mktemp("raw"), num_users=NUM_USERS, num_items=40, parts=8)


def config_of(raw: Path, **changes: Any) -> PairConfig:
    listed: dict[str, Any] = {  # Any: lists of names, beside whatever else a configuration holds
        f"{kind}_{letter}": sorted(str(path) for path in raw.glob(f"{kind}_{name}*"))
        for kind in ("reviews", "meta")
        for letter, name in (("x", "Art"), ("y", "Books"))
    }
    return PairConfig(source="amazon", domains=["Art", "Books"], **listed, **changes)


def prepared(run_dir: Path, raw: Path, **changes: Any) -> dict[str, str]:
    """The digests of all files."""
    prepare(config_of(raw, **changes), run_dir=run_dir)
    return digests(run_dir)


def digests(run_dir: Path) -> dict[str, str]:
    folder = run_dir / "pair"
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("changes", CONFIGS, ids=["-".join(str(value) for value in c.values()) for c in CONFIGS])
def test_memory_does_not_change_a_byte(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    large = prepared(tmp_path / "large", raw, **changes, memory_gib=LARGE_GIB)
    monkeypatch.setattr(sorted_runs, "SAMPLE_EVERY", 64)
    small = prepared(tmp_path / "small", raw, **changes, memory_gib=SMALL_GIB)
    assert set(large) >= FILES
    assert ((tmp_path / "large" / "pair" / "graph_only.arrow").is_file()) == ("graph_users" in changes)
    assert small == large
    assert (load_pair(tmp_path / "small").items.train_count > 0).any()


def test_memory_for_a_few_rows_does_not_change_a_byte(tmp_path: Path, raw: Path) -> None:
    large = prepared(tmp_path / "large", raw, splits="time", memory_gib=LARGE_GIB)
    assert prepared(tmp_path / "tiny", raw, splits="time", memory_gib=TINY_GIB) == large


def test_little_memory_makes_many_runs_and_bands(tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_runs, "SAMPLE_EVERY", 64)
    config = config_of(raw, memory_gib=SMALL_GIB)
    pair_read = read_pair(*find_files(config), config, scratch=tmp_path)
    numbered, _, _ = keep_interactions(pair_read, config, scratch=tmp_path)
    assert len(pair_read.runs.runs) >= 5
    assert len(numbered.bands) >= 5
    assert sum(count > 0 for count in numbered.bands.num_users) >= 5


@pytest.mark.parametrize("generator", ["exact", "sampled"])
def test_memory_does_not_change_a_synthetic_pair(tmp_path: Path, generator: Any) -> None:
    made = SyntheticConfig(generator=generator, num_users=300, items_per_domain=96)
    written = []
    for memory in (TINY_GIB, LARGE_GIB):
        run_dir = tmp_path / str(memory)
        prepare(PairConfig(synthetic=made, splits="user", memory_gib=memory), run_dir=run_dir)
        written.append(digests(run_dir))
    assert written[0] == written[1]
    assert set(written[0]) > FILES


def test_card_tells_what_was_kept_and_how_it_is_distributed(tmp_path: Path, raw: Path) -> None:
    prepared(tmp_path, raw, splits="user")
    card = read_json(tmp_path / "pair" / "card.json")
    months = card["histograms"]["interactions_by_month"]
    assert sum(months["X"]) == card["filters"]["kept"]["X"]
    assert sum(months["Y"]) == card["filters"]["kept"]["Y"]
    for split in SPLITS:
        assert sum(card["histograms"]["history_length"][split]) == card["samples"][split]["all"]
    assert card["users"]["all"] == pl.read_parquet(tmp_path / "pair" / "users.parquet").height


def test_train_counts_are_those_of_the_train_samples(tmp_path: Path, raw: Path) -> None:
    prepared(tmp_path, raw, splits="last_out")
    train, items = load_samples(tmp_path, "train"), load_pair(tmp_path).items
    shown = {
        (int(train.user[row]), int(item))
        for row in range(len(train))
        for item in (*train.history_of(row), train.target[row])
    }
    expected = np.bincount([item for _, item in shown], minlength=items.num_items)
    assert items.train_count.tolist() == expected.tolist()


def test_preparing_twice_into_one_folder_leaves_the_second_only(tmp_path: Path, raw: Path) -> None:
    prepared(tmp_path / "run", raw, splits="user")
    assert prepared(tmp_path / "run", raw, splits="time") == prepared(tmp_path / "fresh", raw, splits="time")


def test_refusal_of_the_audit_leaves_no_table(tmp_path: Path, raw: Path) -> None:
    with pytest.raises(InputError, match="leak audit: target_in_history"):
        prepared(tmp_path, raw, splits="user", duplicates="all", audit_allow=[])
    assert list((tmp_path / "pair").iterdir()) == []


def test_refusal_of_a_reader_leaves_nothing(tmp_path: Path, raw: Path) -> None:
    folder = write_raw_files(tmp_path / "raw", num_users=20)
    (folder / "meta_Books.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="holds no item"):
        prepared(tmp_path / "run", folder)
    assert list((tmp_path / "run" / "pair").iterdir()) == []


def test_pair_whose_times_leave_nothing_to_hold_out_is_refused(tmp_path: Path) -> None:
    for name in ("Art", "Books"):
        rows = [
            {
                "user_id": f"u{user}",
                "parent_asin": f"{name}{item}",
                "timestamp": 1_500_000_000 + min(item, 1),
                "rating": 5,
            }
            for user in range(9)
            for item in range(4)
        ]
        write_lines(tmp_path / f"reviews_{name}.jsonl", rows)
        write_lines(
            tmp_path / f"meta_{name}.jsonl", [{"parent_asin": f"{name}{item}", "title": f"{item}"} for item in range(4)]
        )
    with pytest.raises(InputError, match=r"valid has no target in Art: an empty domain; change pair\.splits"):
        prepared(tmp_path / "run", tmp_path, splits="time")


def test_numbers_of_items_follow_the_seed_and_not_their_ids(tmp_path: Path, raw: Path) -> None:
    def order(name: str, **changes: Any) -> list[str]:
        prepared(tmp_path / name, raw, splits="last_out", **changes)
        items = load_pair(tmp_path / name).items
        return items.source_ids[: items.num_x]

    drawn = order("a")
    assert drawn != sorted(drawn)
    assert sum(abs(drawn.index(one) - drawn.index(next_one)) <= 2 for one, next_one in pairwise(sorted(drawn))) < 15
    assert order("b", split_seed=2) != drawn
    assert sorted(order("b", split_seed=2)) == sorted(drawn)


def test_card_says_how_close_ids_of_targets_are(tmp_path: Path, raw: Path) -> None:
    prepared(tmp_path, raw, splits="last_out")
    closeness = read_json(tmp_path / "pair" / "card.json")["id_closeness"]
    assert closeness["ids_follow_purchases"] is False
    assert 0.7 < closeness["all"]["targets"] / closeness["all"]["by_chance"] < 1.3
