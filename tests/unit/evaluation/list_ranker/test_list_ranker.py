"""The list ranker: its features are honest, it is the same under other ids, it finds what the sources find together."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.config import EvaluationConfig
from evaluation.list_ranker.bank import Bank, fit_bank, user_counts
from evaluation.list_ranker.blocks import make_blocks
from evaluation.list_ranker.final import ListRanker, fit_list_ranker, refit_list_ranker
from evaluation.list_ranker.store import SEAL_FILE, TREES_FILE, load_ranker, save_trees
from evaluation.matrices import Floats
from evaluation.metrics.ranks import Ranks, batches, target_ranks, without_history
from evaluation.ranked_lists import RankedLists
from evaluation.systems.baseline_table import BASELINE_TABLE
from launch.errors import InputError
from pairs.tables import Items, Samples
from tests.evaluation_runs import make_items, make_samples, sources_of

NUM_X, NUM_ITEMS, TASTES = 40, 80, 8
CONFIG = EvaluationConfig(ranker_samples=600, ranker_depth=20)
PARAMETERS = {
    name: {key: values[0] for key, values in baseline.grid.items()} for name, baseline in BASELINE_TABLE.items()
}


def tasteful(num_users: int, *, seed: int, first_user: int = 0) -> Samples:
    """Users who stay with every eighth item three times out of four, two samples each."""
    random = np.random.default_rng(seed)
    rows = []
    for user in range(first_user, first_user + num_users):
        taste = int(random.integers(TASTES))
        own = [item for item in range(NUM_ITEMS) if item % TASTES == taste]
        bought = random.choice(own, 5, replace=False).tolist() + random.integers(0, NUM_ITEMS, 2).tolist()
        history = [int(item) for item in random.permutation(bought)]
        for domain, ids in enumerate((range(NUM_X), range(NUM_X, NUM_ITEMS))):
            left = [item for item in own if item in ids and item not in history]
            rows.append((user, domain, history, int(random.choice(left)) if left else ids.start))
    return make_samples(rows, first=2 * first_user)


ITEMS = dataclasses.replace(
    make_items(NUM_X, NUM_ITEMS), titles=[f"taste{item % TASTES} kind{item % 5}" for item in range(NUM_ITEMS)]
)
TRAIN, VALID = tasteful(500, seed=1), tasteful(150, seed=2, first_user=500)


def bank_of(known: Samples, items: Items = ITEMS) -> Bank:
    return fit_bank(known, items, PARAMETERS, ridge_max_users=1000, seed=1)


def fitted(train: Samples, valid: Samples, items: Items) -> ListRanker:
    ranker = fit_list_ranker(
        train, valid, bank_of(train, items), PARAMETERS, left_out={}, chronological=False, config=CONFIG, seed=1
    )
    assert ranker is not None
    return ranker


def final_ranks(ranker: ListRanker, samples: Samples) -> Ranks:
    ranks_N = np.empty(len(samples))
    for batch in batches(samples, ranker.bank.items):
        scores = ranker.bank.scores(batch)
        behind_BC = without_history(scores["ridge"], batch)
        final_BC = ranker.score(batch, scores, behind_BC, {}, filter_history=True)
        assert (np.isneginf(final_BC) == np.isneginf(behind_BC)).all()
        ranks_N[batch.rows] = target_ranks(final_BC, batch)
    return ranks_N


def source_ranks(bank: Bank, name: str, samples: Samples) -> Ranks:
    ranks_N = np.empty(len(samples))
    for batch in batches(samples, bank.items):
        ranks_N[batch.rows] = target_ranks(without_history(bank.scores(batch)[name], batch), batch)
    return ranks_N


def mean_reciprocal(ranks_N: Ranks) -> float:
    return float((1 / ranks_N).mean())


@pytest.fixture(scope="module")
def ranker() -> ListRanker:
    return fitted(TRAIN, VALID, ITEMS)


def test_final_list_is_above_each_of_its_sources(ranker: ListRanker) -> None:
    test = tasteful(150, seed=3, first_user=700)
    final = mean_reciprocal(final_ranks(ranker, test))
    for name in ranker.bank.scorers:
        assert final > mean_reciprocal(source_ranks(ranker.bank, name, test)), name


def test_what_a_user_bought_changes_nothing_of_what_is_known_when_that_user_is_asked() -> None:
    user = int(make_blocks(TRAIN, most=600, seed=1, chronological=False)[0].asked.user[0])
    (block,) = (b for b in make_blocks(TRAIN, most=600, seed=1, chronological=False) if user in b.asked.user)
    random = np.random.default_rng(4)
    own = np.flatnonzero(TRAIN.user == user)
    target = TRAIN.target.copy()
    target[own] = [random.choice(list(ITEMS.ids(int(TRAIN.domain[row])))) for row in own]
    changed = dataclasses.replace(TRAIN, target=target)
    (other,) = (b for b in make_blocks(changed, most=600, seed=1, chronological=False) if user in b.asked.user)
    assert user_counts(other.known, NUM_ITEMS).tolist() == user_counts(block.known, NUM_ITEMS).tolist()
    asked = block.asked.take(np.flatnonzero(block.asked.user == user))
    for batch in batches(asked, ITEMS):
        first, second = (
            bank.candidates(batch, bank.scores(batch), depth=20, filter_history=True)
            for bank in (bank_of(block.known), bank_of(other.known))
        )
        assert np.array_equal(first.features, second.features)


def renumbered(samples: Samples, new_id: NDArray[np.int64]) -> Samples:
    return dataclasses.replace(samples, target=new_id[samples.target], history=new_id[samples.history])


def test_other_ids_for_all_items_change_no_metric(ranker: ListRanker) -> None:
    random = np.random.default_rng(5)
    new_id = np.concatenate([random.permutation(NUM_X), NUM_X + random.permutation(NUM_ITEMS - NUM_X)])
    titles = [""] * NUM_ITEMS
    for old, new in enumerate(new_id.tolist()):
        titles[new] = ITEMS.titles[old]
    other = fitted(renumbered(TRAIN, new_id), renumbered(VALID, new_id), dataclasses.replace(ITEMS, titles=titles))
    test = tasteful(100, seed=6, first_user=900)
    expected, left = final_ranks(ranker, test), final_ranks(other, renumbered(test, new_id))
    assert (expected == left).mean() > 0.97  # sums of floats in another order may part a near tie
    assert mean_reciprocal(left) == pytest.approx(mean_reciprocal(expected), abs=0.01)


def lists_of_taste(samples: Samples, *, seed: int) -> RankedLists:
    """A source that knows each target but for a few: it is among the first five of a list of ten."""
    random = np.random.default_rng(seed)
    listed = []
    for target, domain in zip(samples.target.tolist(), samples.domain.tolist(), strict=True):
        items = [item for item in random.permutation(list(ITEMS.ids(domain))).tolist() if item != target][:10]
        if random.random() < 0.9:
            items[random.integers(5)] = target
        listed.append(items)
    scores = np.tile(np.linspace(1, 0, 10, dtype=np.float32), (len(samples), 1))
    return RankedLists(samples.sample, np.array(listed), scores)


def test_a_given_source_is_learnt_from_and_one_without_left_out_lists_is_not(
    ranker: ListRanker, caplog: pytest.LogCaptureFixture
) -> None:
    test = tasteful(150, seed=3, first_user=700)
    given = {name: lists_of_taste(VALID, seed=7) for name in ("told", "untold")}
    bank = dataclasses.replace(bank_of(TRAIN), given=given)
    told = fit_list_ranker(
        TRAIN, VALID, bank, PARAMETERS,
        left_out={"told": lists_of_taste(TRAIN, seed=8)}, chronological=False, config=CONFIG, seed=1,
    )  # fmt: skip
    assert told is not None
    assert "no lists of untold" in caplog.text
    assert list(told.bank.given) == ["told"]
    ready = told.asking(told.bank, {"told": lists_of_taste(test, seed=9)})
    assert mean_reciprocal(final_ranks(ready, test)) > mean_reciprocal(final_ranks(ranker, test)) + 0.05


def test_too_few_lists_fit_nothing(caplog: pytest.LogCaptureFixture) -> None:
    few = tasteful(40, seed=1)
    assert fit_list_ranker(
        few, VALID, bank_of(few), PARAMETERS, left_out={}, chronological=False, config=CONFIG, seed=1
    ) is None  # fmt: skip
    assert "too few" in caplog.text


def test_a_valid_without_a_list_to_stop_by_fits_nothing(caplog: pytest.LogCaptureFixture) -> None:
    nobody = VALID.take(np.zeros(0, dtype=np.int64))
    assert fit_list_ranker(
        TRAIN, nobody, bank_of(TRAIN), PARAMETERS, left_out={}, chronological=False, config=CONFIG, seed=1
    ) is None  # fmt: skip
    assert "no list of valid holds its target" in caplog.text


def test_trees_come_back_from_the_run_folder_and_other_features_are_refused(ranker: ListRanker, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    save_trees(ranker, tmp_path)
    again = load_ranker(tmp_path, ranker.bank, depth=ranker.depth, weights=ranker.weights)
    assert np.array_equal(final_ranks(again, VALID), final_ranks(ranker, VALID))
    fewer = dataclasses.replace(ranker.bank, scorers={"ridge": ranker.bank.scorers["ridge"]})
    with pytest.raises(InputError, match="fitted on other features"):
        load_ranker(tmp_path, fewer, depth=ranker.depth, weights=ranker.weights)


@pytest.mark.parametrize("spoil", ["cut", "empty", "changed", "no_seal", "foreign"])
def test_trees_that_this_user_did_not_write_so_are_not_read(
    ranker: ListRanker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    """LightGBM itself crashes on such a text."""
    folder = tmp_path / "report"
    folder.mkdir()
    save_trees(ranker, tmp_path)
    path = folder / TREES_FILE.format(number=1)
    text = path.read_text()
    if spoil == "no_seal":
        (folder / SEAL_FILE).unlink()
    elif spoil == "foreign":
        monkeypatch.setenv("KINREC_STATE", str(tmp_path / "another"))
    else:
        spoiled = {"cut": text[:3000], "empty": "", "changed": text.replace("tree", "eert", 1)}
        path.write_text(spoiled[spoil])
    with pytest.raises(
        InputError, match=r"list_ranker_\*.txt: not as this user wrote it .*; run `kinrec evaluate .*` again"
    ):
        load_ranker(tmp_path, ranker.bank, depth=ranker.depth, weights=ranker.weights)


def test_equal_scores_have_equal_places_and_stay_or_go_together() -> None:
    bank = bank_of(TRAIN)

    class Steps:
        """Ten items share the second best score."""

        def score(self, samples: Samples, domain: int) -> Floats:
            row = np.zeros(NUM_X, dtype=np.float32)
            row[3], row[10:20], row[30] = 3, 2, 1
            return np.tile(row, (len(samples), 1))

    for depth, expected in ((5, {3}), (11, {3, *range(10, 20)}), (12, {3, *range(10, 20), 30})):
        only = dataclasses.replace(bank, scorers={"ridge": Steps()})
        batch = next(iter(batches(VALID.take(np.array([0])), ITEMS)))
        candidates = only.candidates(batch, only.scores(batch), depth=depth, filter_history=False)
        assert set(candidates.column.tolist()) == expected


def test_a_ranker_is_short_in_the_log(ranker: ListRanker) -> None:
    assert str(ranker) == "the list ranker with weights {'list_ranker': 1.0}"


def test_refit_trees_are_as_many_and_have_seen_the_newest_lists(ranker: ListRanker) -> None:
    later = refit_list_ranker(ranker, VALID, sources_of(VALID), CONFIG, seed=1)
    assert [trees.num_trees() for trees in later.trees] == [trees.best_iteration for trees in ranker.trees]
    again = refit_list_ranker(ranker, VALID, sources_of(VALID), CONFIG, seed=1)
    assert [trees.model_to_string() for trees in again.trees] == [trees.model_to_string() for trees in later.trees]
    changed = dataclasses.replace(VALID, target=np.roll(VALID.target, 2))
    other = refit_list_ranker(ranker, changed, sources_of(changed), CONFIG, seed=1)
    assert [trees.model_to_string() for trees in other.trees] != [trees.model_to_string() for trees in later.trees]
