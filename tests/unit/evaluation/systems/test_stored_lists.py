"""Lists read from their file when they are asked for are those of the whole file, whatever parts it is in."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.ranked_lists import NO_ITEM, RankedLists, no_lists, read_lists, widened, write_list_blocks, write_lists
from evaluation.systems.stored_lists import StoredLists
from launch.errors import InputError

NUM_ITEMS = 50
samples_asked = st.lists(st.integers(0, 24), unique=True, max_size=12)


def some_lists(samples: list[int]) -> RankedLists:
    """Of unlike lengths, one of them empty."""
    random = np.random.default_rng(3)
    items = np.stack([random.permutation(NUM_ITEMS)[:7] for _ in samples])
    scores = -np.sort(random.random((len(samples), 7)).astype(np.float32), axis=1)
    short = np.arange(7) >= (np.arange(len(samples)) % 8)[:, None]
    return RankedLists(np.array(samples), np.where(short, NO_ITEM, items), np.where(short, -np.inf, scores))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("evaluation.ranked_lists.ROWS_A_GROUP", 3)
    path = tmp_path / "graph_test.parquet"
    write_lists(path, some_lists(list(range(20))))
    assert pq.read_metadata(path).num_row_groups == 7
    return path


def stored(path: Path, samples: list[int], *, num_items: int = NUM_ITEMS) -> StoredLists:
    return StoredLists(path, np.array(samples, dtype=np.int64), num_items, "pretrain")


def same(some: RankedLists, others: RankedLists) -> bool:
    """But for the width of the table."""
    depth = max(some.depth, others.depth)
    some, others = widened(some, depth), widened(others, depth)
    pairs = ((some.sample, others.sample), (some.items, others.items), (some.scores, others.scores))
    return all(np.array_equal(first, second) for first, second in pairs)


def test_they_are_those_of_the_whole_file_in_any_order(path: Path) -> None:
    whole = read_lists(path)

    @settings(deadline=None)
    @given(samples_asked)
    def check(asked: list[int]) -> None:
        lists = stored(path, list(range(25)))
        sample = np.array(asked, dtype=np.int64)
        assert same(lists.of_samples(sample), whole.aligned(sample)[0])

    check()


def test_it_is_known_who_has_a_list(path: Path) -> None:
    assert stored(path, [19, 20, 3]).listed.tolist() == [True, False, True]
    assert stored(path, [19, 3]).complete().sample.tolist() == [19, 3]
    with pytest.raises(InputError, match=r"graph_test\.parquet: no list for sample 20 \(2 of 4 missing\)"):
        stored(path, [19, 20, 3, 21]).complete()


def test_an_item_outside_the_catalogue_is_refused_when_it_is_read(path: Path) -> None:
    with pytest.raises(InputError, match=r"item \d+ is not in the catalogue of 10 items; run `kinrec pretrain` again"):
        stored(path, [4]).of_samples(np.array([4])) and stored(path, [4], num_items=10).of_samples(np.array([4, 5]))


def test_a_file_of_nobody_and_one_in_other_order(tmp_path: Path) -> None:
    write_list_blocks(tmp_path / "none.parquet", [no_lists()])
    assert stored(tmp_path / "none.parquet", [1]).of_samples(np.array([1])).lengths.tolist() == [0]
    turned = some_lists(list(range(5))).take(np.array([4, 2, 0, 3, 1]))
    write_list_blocks(tmp_path / "turned.parquet", [turned])
    read = stored(tmp_path / "turned.parquet", [0, 1, 2, 3, 4]).of_samples(np.arange(5))
    assert same(read, some_lists(list(range(5))))


def test_what_is_missing_or_no_table_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; run the stage"):
        stored(tmp_path / "gone.parquet", [1]).complete()
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"text\.parquet: not a table of lists"):
        stored(tmp_path / "text.parquet", [1]).complete()
