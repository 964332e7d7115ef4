"""The nearest items of an item: as a full sort has them, ties whole, whenever and with whomever it was asked about."""

import pytest
import torch

from graph.late import nearest as nearest_module
from graph.late.item_tables import CosineRoom, ItemTables
from graph.late.nearest import NearestItems, nearest_items
from tests.unit.graph.late.slow import IDS, NUM_ITEMS, PAD, Row, random_tables, slow_row


def row_of(nearest: NearestItems, item: int) -> Row:
    near = nearest.of(torch.tensor([item]))
    return {
        int(j) + nearest.ids.start: tuple(cosines)
        for j, cosines in zip(near.candidate, near.cosines.tolist(), strict=True)
    }


@pytest.mark.parametrize("domain", [0, 1])
@pytest.mark.parametrize("depth", [1, 4, 100])
def test_a_row_is_the_first_of_a_full_sort_by_each_table(domain: int, depth: int) -> None:
    tables = random_tables()
    nearest = nearest_items(tables, IDS[domain], depth=depth)
    lengths = []
    for item in range(NUM_ITEMS):
        row, expected = row_of(nearest, item), slow_row(tables, item, IDS[domain], depth)
        assert list(row) == list(expected)
        for candidate, cosines in expected.items():
            assert row[candidate] == pytest.approx(cosines, abs=1e-3)
        lengths.append(len(row))
    assert lengths[3] == lengths[30] == 0
    assert max(lengths) > 1


def test_those_as_near_as_the_last_are_in_and_the_item_itself_is_not() -> None:
    nearest = nearest_items(random_tables(), IDS[0], depth=1)
    assert {5, 6} <= set(row_of(nearest, 4)), "4, 5 and 6 are the same"
    assert all(item not in row_of(nearest, item) for item in IDS[0])


def test_a_tie_without_end_is_left_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = random_tables(dim=2)
    tables.whole[2] = torch.tensor([100, 0])  # all have the same words ...
    tables.whole[2, 7] = torch.tensor([100, 60])  # ... but one
    tables.whole[2, 8] = torch.tensor([100, 50])
    tables.whole[:2] = 0
    monkeypatch.setattr(nearest_module, "MOST_TIED", 6)
    assert set(row_of(nearest_items(tables, IDS[0], depth=3), 8)) == {7}, "19 with the tied, 18 may be"
    monkeypatch.setattr(nearest_module, "MOST_TIED", 7)
    assert set(row_of(nearest_items(tables, IDS[0], depth=3), 8)) == set(IDS[0]) - {8}


def test_what_is_forgotten_is_made_again() -> None:
    nearest = nearest_items(random_tables(), IDS[1], depth=4)
    whole = {item: row_of(nearest, item) for item in (4, 30, 12)}
    nearest.forget()
    assert nearest.num_rows == 0
    assert [len(nearest.parts[name]) for name in ("candidate", "cosines")] == [0, 0]
    assert {item: row_of(nearest, item) for item in (12, 4, 30)} == whole


@pytest.mark.parametrize("at_once", [1, 7, 512])
def test_rows_are_the_same_bytes_in_whatever_order_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    tables = random_tables(dim=40)
    whole = nearest_items(tables, IDS[1], depth=4)
    whole.find(torch.arange(NUM_ITEMS))
    monkeypatch.setattr(nearest_module, "ITEMS_AT_ONCE", at_once)
    bit_by_bit = nearest_items(tables, IDS[1], depth=4)
    order = torch.randperm(NUM_ITEMS, generator=torch.Generator().manual_seed(3))
    for asked in (order[:5], order[2:3].repeat(4), order[:0], order[3:20], order):
        one, other = bit_by_bit.of(asked), whole.of(asked)
        assert torch.equal(one.entry, other.entry)
        assert torch.equal(one.candidate, other.candidate)
        assert one.cosines.numpy().tobytes() == other.cosines.numpy().tobytes()
    assert len(bit_by_bit.candidate) == len(whole.candidate), "no row was made twice"


def test_a_large_domain_is_searched_a_few_items_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    cosines = ItemTables.cosines

    def noted(self: ItemTables, item_N: torch.Tensor, ids: range, table: int, room: CosineRoom) -> torch.Tensor:
        sizes.append(len(item_N) * len(ids))
        return cosines(self, item_N, ids, table, room)

    monkeypatch.setattr(ItemTables, "cosines", noted)
    monkeypatch.setattr(nearest_module, "CELLS_AT_ONCE", 100)
    nearest_items(random_tables(), IDS[1], depth=4).find(torch.arange(NUM_ITEMS))
    assert max(sizes) == 3 * len(IDS[1])


def test_without_tables_an_item_that_was_not_kept_is_refused() -> None:
    kept = nearest_items(random_tables(), IDS[0], depth=4)
    kept.find(torch.tensor([1, 2]))
    alone = NearestItems(kept.ids, 0, None, *kept.parts.values())
    assert row_of(alone, 2) == row_of(kept, 2)
    with pytest.raises(KeyError, match=r"no nearest items were kept of \[7\]"):
        alone.of(torch.tensor([2, 7]))
    with pytest.raises(KeyError, match=rf"\[{PAD}\]"):
        alone.of(torch.tensor([PAD]))


def test_rows_found_one_at_a_time_are_those_found_at_once() -> None:
    one, other = (nearest_items(random_tables(), IDS[1], depth=4) for _ in range(2))
    order = torch.randperm(NUM_ITEMS, generator=torch.Generator().manual_seed(1))
    one.find(torch.arange(NUM_ITEMS))
    for item in order:
        other.find(item[None])
    assert len(other.parts["candidate"]) == len(one.parts["candidate"]) == int(one.parts["offsets"][-1])
    assert len(other.candidate) > len(other.parts["candidate"]), "there is no room for more"
    for name, values in zip(("entry", "candidate", "cosines"), vars(one.of(order)).values(), strict=True):
        assert torch.equal(getattr(other.of(order), name), values)


@pytest.mark.parametrize("depth", [1, 3, 200])
def test_ties_go_on_behind_the_last_or_are_left_out_whole(depth: int) -> None:
    steps = torch.randint(-2, 5, (40, 60), generator=torch.Generator().manual_seed(depth)) / 4
    for row in range(40):
        given = steps[row, steps[row] >= nearest_module.LEAST_COSINE].tolist()
        last = sorted(given, reverse=True)[:depth][-1] if given else 1.0
        tied = [column for column in range(60) if steps[row, column] >= max(last, nearest_module.LEAST_COSINE)]
        few = tied if len(tied) <= nearest_module.MOST_TIED * depth else [c for c in tied if steps[row, c] > last]
        found_row, column = nearest_module.nearest_of(steps[row : row + 1], depth)
        assert sorted(column.tolist()) == few
        assert not found_row.any()


def test_products_of_bytes_and_of_floats_are_the_same_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    for in_bytes in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda in_bytes=in_bytes: in_bytes)
        nearest = nearest_items(random_tables(), IDS[0], depth=5)
        nearest.find(torch.arange(NUM_ITEMS))
        answers.append({name: part.numpy().tobytes() for name, part in nearest.parts.items()})
    assert answers[0] == answers[1]
