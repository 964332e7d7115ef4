"""A user's own samples: the same pair from every form, equal to what was written, in order that says nothing."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.artifacts import read_json
from launch.errors import InputError
from pairs.config import PairConfig
from pairs.prepare import prepare
from pairs.samples import strict_rows
from pairs.tables import SPLITS, load_pair, load_samples
from tests.unit.pairs.samples.given_files import (
    ITEMS,
    SAMPLES,
    GivenRow,
    changed,
    without_times,
    write_given,
    write_table,
)

ALLOW = ["target_in_history", "held_out_in_train", "user_later_in_earlier_split"]
FORMS = ["csv", "tsv", "jsonl", "parquet"]


def prepared(folder: Path, run_dir: Path, **changes: Any) -> dict[str, list[GivenRow]]:
    """What `prepare` made of a folder, in the words of the files: ids for numbers."""
    prepare(PairConfig(source="samples", path=str(folder), **changes), run_dir=run_dir)
    ids = load_pair(run_dir).items.source_ids
    users = dict(_users(run_dir))
    rows_read: dict[str, list[GivenRow]] = {}
    for split in SPLITS:
        table = load_samples(run_dir, split)
        rows_read[split] = []
        for row in range(len(table)):
            times: dict[str, Any] = {}
            if table.history_time is not None and table.target_time is not None:
                inside = slice(int(table.offsets[row]), int(table.offsets[row + 1]))
                times = {
                    "history_time": table.history_time[inside].tolist(),
                    "target_time": int(table.target_time[row]),
                }
            history, target = [ids[item] for item in table.history_of(row)], ids[table.target[row]]
            user = users[int(table.user[row])]
            rows_read[split].append({"split": split, "user": user, "history": history, "target": target, **times})
    return rows_read


def _users(run_dir: Path) -> list[tuple[int, str]]:
    return [(int(user), str(name)) for user, name in pl.read_parquet(run_dir / "pair" / "users.parquet").iter_rows()]


def by_split(samples: list[GivenRow]) -> dict[str, list[GivenRow]]:
    return {split: [row for row in samples if row["split"] == split] for split in SPLITS}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("timed", [True, False], ids=["timed", "untimed"])
def test_what_was_written_is_what_is_prepared(tmp_path: Path, form: str, timed: bool) -> None:
    samples = SAMPLES if timed else without_times(SAMPLES)
    folder = write_given(tmp_path / "given", form, samples=samples)
    assert prepared(folder, tmp_path / "run") == by_split(samples)
    items = load_pair(tmp_path / "run").items
    assert sorted(zip(items.source_ids, items.titles, items.domain.tolist(), items.attributes, strict=True)) == [
        ("7", "Brush, No. 4", 0, "brush"),
        ("a9", "Ink", 0, "ink black"),
        ("b1", "A walk", 1, ""),
        ("b2", "Bread & salt", 1, "food baking"),
    ]
    assert load_pair(tmp_path / "run").domain_names == ("art", "book")
    card = read_json(tmp_path / "run" / "pair" / "card.json")
    assert (card["source"], card["split_rule"]) == ("samples", "given")
    assert card["order_evidence"]["timestamps"] == timed


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(SPLITS),
            st.sampled_from(["u", "v", "w w", "x,y"]),
            st.lists(st.sampled_from(["b1", "b2", "7", "a9"]), min_size=1, max_size=4),
            st.sampled_from(["b1", "b2", "7", "a9"]),
        ),
        max_size=12,
        unique_by=lambda row: (row[1], tuple(row[2]), row[3]),
    ),
    form=st.sampled_from(FORMS),
    group=st.integers(1, 4),
)
def test_any_samples_come_out_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, list[str], str]], form: str, group: int
) -> None:
    written: list[GivenRow] = [{"split": s, "user": u, "history": h, "target": t} for s, u, h, t in rows]
    written += [
        {"split": split, "user": f"of {split} {target}", "history": ["7", "b1"], "target": target}
        for split in SPLITS
        for target in ("a9", "b2")
    ]
    place = tmp_path_factory.mktemp("given")
    folder = write_given(place / "given", form, samples=written)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_rows, "GROUP_ROWS", group)
        assert prepared(folder, place / "run", audit_allow=ALLOW) == by_split(written)


def test_a_file_a_split_and_tables_in_several_files_are_one_table_with_a_column(tmp_path: Path) -> None:
    one = write_given(tmp_path / "one", "csv")
    write_table(tmp_path / "three" / "items-0.csv", ITEMS[:2])
    write_table(tmp_path / "three" / "items-1.parquet", ITEMS[2:])
    for split, rows in by_split(SAMPLES).items():
        plain = [{key: value for key, value in row.items() if key != "split"} for row in rows]
        write_table(tmp_path / "three" / f"{split}.jsonl", plain)
    (tmp_path / "three" / "README.md").write_text("mine", encoding="utf-8")
    assert prepared(tmp_path / "three", tmp_path / "a") == prepared(one, tmp_path / "b")
    items = [load_pair(tmp_path / run).items for run in ("a", "b")]
    assert items[0].source_ids == items[1].source_ids


def test_numbers_in_tables_are_ids_and_need_not_be_text(tmp_path: Path) -> None:
    items: list[GivenRow] = [{"item": n, "domain": "xy"[n % 2], "title": f"thing {n}"} for n in range(4)]
    samples: list[GivenRow] = [
        {"split": split, "user": n, "history": [0, 1], "target": 2 + n % 2} for n, split in enumerate(2 * SPLITS)
    ]
    folder = write_given(tmp_path / "given", "jsonl", items=items, samples=samples)
    write_table(folder / "samples.parquet", samples)
    (folder / "samples.jsonl").unlink()
    rows_read = prepared(folder, tmp_path / "run")
    assert rows_read["valid"][0] == {"split": "valid", "user": "1", "history": ["0", "1"], "target": "3"}


def test_pair_domains_says_which_is_x(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "csv")
    prepared(folder, tmp_path / "run", domains=["book", "art"])
    assert load_pair(tmp_path / "run").domain_names == ("book", "art")
    with pytest.raises(InputError, match=r"names the domains 'art' and 'book', pair.domains has \['film', 'art'\]"):
        prepared(folder, tmp_path / "run", domains=["film", "art"])


def test_without_titles_ids_stand_for_them_if_the_recipe_says_so(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "csv", items=[{**row, "title": None} for row in ITEMS])
    with pytest.raises(InputError, match=r"items\.csv: line 2: has no title for item 'b2' \(pair\.require_title=false"):
        prepared(folder, tmp_path / "run")
    prepared(folder, tmp_path / "run", require_title=False)
    items = load_pair(tmp_path / "run").items
    assert items.titles == items.source_ids


def test_item_order_follows_the_seed_and_nothing_else(tmp_path: Path) -> None:
    items: list[GivenRow] = [{"item": f"{n:03}", "domain": "xy"[n % 2], "title": f"thing {n}"} for n in range(60)]
    samples: list[GivenRow] = [
        {"split": split, "user": n, "history": ["000", "001"], "target": f"{2 + n % 2:03}"}
        for n, split in enumerate(2 * SPLITS)
    ]

    def order(name: str, items: list[GivenRow], **changes: Any) -> list[str]:
        folder = write_given(tmp_path / name, "csv", items=items, samples=samples)
        prepared(folder, tmp_path / f"{name}-run", **changes)
        return load_pair(tmp_path / f"{name}-run").items.source_ids

    drawn = order("a", items)
    assert order("b", items[::-1]) == drawn
    assert order("c", items, split_seed=2) != drawn
    assert sorted(drawn[:30]) == [f"{n:03}" for n in range(0, 60, 2)]
    assert sum(abs(drawn.index(f"{n:03}") - drawn.index(f"{n + 2:03}")) <= 2 for n in range(0, 58, 2)) < 12


def test_the_audit_finds_a_train_sample_that_holds_a_held_out_target(tmp_path: Path) -> None:
    late = {"split": "train", "user": "zoë", "history": ["a9"], "target": "b2", "history_time": [90], "target_time": 99}
    folder = write_given(tmp_path / "given", "jsonl", samples=[*SAMPLES, late])
    with pytest.raises(InputError, match="leak audit: held_out_in_train: 1 found"):
        prepared(folder, tmp_path / "run", audit_allow=["user_later_in_earlier_split"])
    assert list((tmp_path / "run" / "pair").iterdir()) == []


def test_the_audit_finds_a_train_sample_later_than_a_held_out_one_of_its_user(tmp_path: Path) -> None:
    late = {"split": "train", "user": "zoë", "history": ["b1"], "target": "b2", "history_time": [10], "target_time": 99}
    folder = write_given(tmp_path / "given", "jsonl", samples=[*SAMPLES, late])
    with pytest.raises(InputError, match="leak audit: user_later_in_earlier_split: 1 found, the first: sample"):
        prepared(folder, tmp_path / "run")
    untimed = write_given(tmp_path / "untimed", "jsonl", samples=without_times([*SAMPLES, late]))
    prepared(untimed, tmp_path / "run2")
    assert read_json(tmp_path / "run2" / "pair" / "card.json")["audit"]["user_later_in_earlier_split"]["found"] is None


def test_history_later_than_its_target_is_the_audits(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "csv", samples=changed(SAMPLES, 0, history_time=[21]))
    with pytest.raises(InputError, match="leak audit: history_later_than_target: 1 found"):
        prepared(folder, tmp_path / "run")


def test_a_split_without_a_domain_is_refused(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "csv", samples=[row for row in SAMPLES if row["target"] != "a9"])
    with pytest.raises(InputError, match="valid has no target in art: an empty domain; add such lines to its file"):
        prepared(folder, tmp_path / "run")
