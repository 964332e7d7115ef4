"""The final list: candidates in the order of the fitted trees, all else behind them in the order of the fusion."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import lightgbm
import numpy as np

from evaluation.config import EvaluationConfig
from evaluation.list_ranker.asked_trees import ask_trees, from_zero_to_one
from evaluation.list_ranker.bank import Bank, fit_bank
from evaluation.list_ranker.blocks import FitBlock, make_blocks
from evaluation.list_ranker.fit import LEAST_LISTS, Lists, fit_trees, joined_lists, make_lists, refit_trees
from evaluation.list_ranker.never_sold import Slots, put_into
from evaluation.matrices import Floats
from evaluation.metrics.ranks import DomainSamples
from evaluation.ranked_lists import RankedLists
from evaluation.systems.baseline_table import Parameters
from evaluation.systems.fusion import Weights, scale_rows
from evaluation.systems.sources import AnySources
from launch.distributed import World
from pairs.draws import sample_of_users
from pairs.tables import Samples

log = logging.getLogger(__name__)
TREES = "list_ranker"
MOST_STOPPING = 10_000
"""Samples of valid that the trees are stopped by, or fitted on anew with."""
TIE_BREAK = np.float32(1e-4)
"""Weight of the fusion, among candidates, which trees often leave equal, and among all else, behind them."""


@dataclass(frozen=True)
class Said:
    """What the trees say of a batch."""

    scores: Floats
    """[B, C], from 1 for a row's first candidate to 0 for its last and for all else."""
    slots: Slots
    """Of items that nobody has bought, of which the trees say nothing."""


@dataclass(frozen=True, repr=False)
class ListRanker:
    """Trees and what they ask."""

    bank: Bank
    trees: tuple[lightgbm.Booster, ...]
    """Fitted with unlike seeds; what they say of the candidates that the first has highest is averaged."""
    depth: int
    weights: Weights = field(default_factory=lambda: {TREES: 1.0})
    """Of what the trees say and of lists, `SYSTEM/SCALE`; all of them from 0 to 1."""
    by_words: bool = False
    """Whether items that nobody has bought stand where words put them, and the trees say nothing of them."""
    taught: Lists | None = None
    """What the trees were fitted on; None where they were read from a run."""

    def __repr__(self) -> str:
        return f"the list ranker with weights {dict(self.weights)}"

    def asking(self, bank: Bank, lists: Mapping[str, RankedLists]) -> "ListRanker":
        """The same, asking what another bank knows and lists that are aligned with what it will be asked."""
        given = {name: lists[name] for name in self.bank.given}
        return dataclasses.replace(self, bank=dataclasses.replace(bank, given=given))

    def importance(self) -> dict[str, float]:
        """Feature -> its share of what the trees' splits gain, the largest first; those without any left out."""
        gains_F = np.sum([trees.feature_importance("gain") for trees in self.trees], axis=0)
        shares = dict(zip(self.bank.names, (gains_F / max(gains_F.sum(), 1e-12)).round(4).tolist(), strict=True))
        return {name: share for name, share in sorted(shares.items(), key=lambda item: -item[1]) if share > 0}

    def score(
        self,
        batch: DomainSamples,
        scores: Mapping[str, Floats],
        fusion_BC: Floats,
        lists: Mapping[str, Floats],
        *,
        filter_history: bool,
    ) -> Floats:
        """[B, C] final scores.

        Args:
            scores: what `bank.scores` says of the batch.
            fusion_BC: the simple fusion, -inf where an item may not be recommended.
            lists: scaled from 1 to 0, of which those with a weight are added.
        """
        said = self.say(batch, scores, filter_history=filter_history) if TREES in self.weights else None
        return self.mix(said, fusion_BC, lists)

    def say(self, batch: DomainSamples, scores: Mapping[str, Floats], *, filter_history: bool) -> "Said":
        """What the trees say of the candidates, and with `by_words` where those stand that nobody has bought."""
        candidates = self.bank.candidates(batch, scores, depth=self.depth, filter_history=filter_history)
        nobodys_P = np.zeros(len(candidates.row), dtype=bool)
        if self.by_words:
            nobodys_P = self.bank.never_sold(batch, candidates)
        slots = candidates.take(nobodys_P & (candidates.word_place < self.depth))
        candidates = candidates.take(~nobodys_P)
        said_BC = np.zeros((len(batch.rows), batch.num_columns), dtype=np.float32)
        if len(candidates.row):
            said_P = ask_trees(self.trees, candidates)
            said_BC[candidates.row, candidates.column] = from_zero_to_one(said_P, candidates.row, len(batch.rows))
        return Said(said_BC, Slots(slots.row, slots.column, slots.word_place))

    def mix(self, said: "Said | None", fusion_BC: Floats, lists: Mapping[str, Floats]) -> Floats:
        """[B, C] the weighted sum of what the trees say and of the lists; the fusion decides among equals. Items that
        nobody has bought take their slots in it, where they have any."""
        final_BC = TIE_BREAK * scale_rows(fusion_BC)
        for name, weight in self.weights.items():
            if name != TREES:
                final_BC += np.float32(weight) * lists[name]
            elif said is not None:
                final_BC += np.float32(weight) * said.scores
        final_BC[np.isneginf(fusion_BC)] = -np.inf
        if said is not None and TREES in self.weights:
            put_into(final_BC, said.slots)
        return final_BC


def fit_list_ranker(
    train: Samples,
    valid: Samples,
    bank: Bank,
    parameters: Mapping[str, Parameters],
    *,
    left_out: Mapping[str, RankedLists],
    others: Samples | None = None,
    sold: Samples | None = None,
    chronological: bool,
    config: EvaluationConfig,
    seed: int,
    world: World | None = None,
    age: int = 0,
) -> ListRanker | None:
    """Fitted on blocks of train, stopped on valid; None where train holds too few lists, or valid none.

    Args:
        bank: what train tells, with the baselines' chosen `parameters`; its given lists are those of `valid`.
        left_out: the lists, of the same systems, of train samples that those systems were told nothing of; a system
            without them is not asked.
        others: users of one domain.
        sold: whose purchases are the sales; None: those of who is known.
        chronological: whether the split is one of time: items that nobody has bought then stand where words put them.
        age: seconds between what is known and what is asked about, for blocks of time; `bank` is of that age, too.
            With an age they learn from what somebody has bought alone.
    """
    blocks = make_blocks(
        train, most=config.ranker_samples, seed=seed, chronological=chronological, others=others, age=age
    )
    bank = dataclasses.replace(bank, given=_learnt_from(bank.given, left_out, blocks))
    lists = []
    for block in blocks:
        of_block = fit_bank(
            block.known, bank.items, parameters,
            ridge_max_users=config.ridge_max_users, seed=seed, others=block.others, sold=sold, words=bank.words,
            clock=config.clock,
        )  # fmt: skip
        of_block = dataclasses.replace(
            of_block, given={name: left_out[name].of_samples(block.asked.sample) for name in bank.given}
        )
        lists.append(make_lists(of_block, block.asked, config, world, sold_only=age > 0))
        del of_block  # before the next one is made: each is as large as train's
    num_lists = sum(map(len, lists))
    if num_lists < LEAST_LISTS:
        log.warning(
            "%d lists are too few to fit a list ranker (%d are needed): the fusion is final", num_lists, LEAST_LISTS
        )
        return None
    taught = joined_lists(lists)
    few = sample_of_users(valid, MOST_STOPPING, seed)
    of_few = {name: given.of_samples(few.sample) for name, given in bank.given.items()}
    stopping = make_lists(dataclasses.replace(bank, given=of_few), few, config, world, sold_only=age > 0)
    if len(stopping) == 0:
        log.warning("no list of valid holds its target: nothing says when to stop, and the fusion is final")
        return None
    trees = fit_trees(taught, stopping, bank.names, seed=seed)
    return ListRanker(bank, trees, config.ranker_depth, by_words=chronological, taught=taught)


def refit_list_ranker(
    ranker: ListRanker,
    valid: Samples,
    sources: AnySources,
    config: EvaluationConfig,
    *,
    seed: int,
    world: World | None = None,
) -> ListRanker:
    """As many trees, fitted on what `ranker` was and on valid's lists: it is asked about what comes after them in time.

    Args:
        sources: the lists of other stages, aligned with `valid`.
    """
    assert ranker.taught is not None
    few = sample_of_users(valid, MOST_STOPPING, seed)
    said = sources.take(valid.row_of(few.sample), ranker.bank.given)
    bank = ranker.asking(ranker.bank, said.lists).bank
    newest = make_lists(bank, few, config, world)
    trees = refit_trees(ranker.trees, joined_lists([ranker.taught, newest]), bank.names, seed=seed)
    return dataclasses.replace(ranker, trees=trees)


def _learnt_from(
    given: Mapping[str, RankedLists], left_out: Mapping[str, RankedLists], blocks: Sequence[FitBlock]
) -> dict[str, RankedLists]:
    """Those of the given lists whose system has lists of all samples to learn from."""
    kept = {}
    for name, lists in given.items():
        has = name in left_out and all(np.isin(block.asked.sample, left_out[name].sample).all() for block in blocks)
        if has:
            kept[name] = lists
        else:
            log.warning("no lists of %s for the train samples to learn from: the list ranker does without it", name)
    return kept
