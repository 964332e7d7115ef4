"""What prompts say of kindred users: votes as counted one by one, and how they read."""

from collections import Counter

import numpy as np
import pytest

from pairs.tables import Ints, Samples
from training.prompts.assembly import Budget, Wanted, assemble
from training.prompts.groups import NOBODY, count_votes, histories_of, votes_of
from training.prompts.kindred import NeighbourRows, PromptSource
from training.prompts.pieces import build_pieces, clean_title, make_frame
from training.scratch import train_tokenizer

NUM_ITEMS = 30
ITEM_DOMAIN = np.repeat([0, 1], NUM_ITEMS // 2).astype(np.int64)
NAMES = ("Art", "Office")


def samples_of(histories: list[list[int]], *, domains: list[int]) -> Samples:
    return Samples(
        sample=np.arange(len(histories)),
        user=np.arange(len(histories)),
        domain=np.array(domains),
        target=np.zeros(len(histories), dtype=np.int64),
        history=np.array([item for history in histories for item in history], dtype=np.int64),
        offsets=np.cumsum([0, *map(len, histories)]),
        history_time=None,
        target_time=None,
    )


@pytest.fixture(scope="module")
def drawn() -> tuple[Samples, Samples, Ints]:
    """Train users, who asks, and the kindred users of each: some fewer than others, one nobody."""
    rng = np.random.default_rng(3)
    train = samples_of(
        [rng.integers(0, NUM_ITEMS, size=rng.integers(1, 9)).tolist() for _ in range(40)], domains=[0] * 40
    )
    asked = samples_of([rng.integers(0, NUM_ITEMS, size=4).tolist() for _ in range(12)], domains=[0, 1] * 6)
    kindred_BK = np.stack([rng.permutation(40)[:6] for _ in range(12)])
    kindred_BK[3, 2:] = NOBODY
    kindred_BK[7] = NOBODY
    return train, asked, kindred_BK


def slow_votes(train: Samples, asked: Samples, kindred: list[int], row: int) -> list[tuple[int, int, int]]:
    """(item, votes, bits) in order, for one sample."""
    own, domain = set(asked.history_of(row).tolist()), int(asked.domain[row])
    votes: Counter[int] = Counter()
    buyers: dict[int, int] = {}
    first: dict[int, tuple[int, int]] = {}
    for nearness, user in enumerate(kindred):
        history = train.history_of(user).tolist() if user != NOBODY else []
        for age, item in enumerate(reversed(history)):
            if item in own or ITEM_DOMAIN[item] != domain:
                continue
            first.setdefault(item, (nearness, age))
            buyers[item] = buyers.get(item, 0) | 1 << nearness
    votes.update({item: bin(bits).count("1") for item, bits in buyers.items()})
    order = sorted(votes, key=lambda item: (-votes[item], *first[item]))
    return [(item, votes[item], buyers[item]) for item in order]


def test_votes_are_those_counted_one_by_one(drawn: tuple[Samples, Samples, Ints]) -> None:
    train, asked, kindred_BK = drawn
    votes = count_votes(train, kindred_BK, asked=asked, item_domain=ITEM_DOMAIN)
    assert votes.votes.max() > 1, "the test's users should agree on something"
    for row in range(len(asked)):
        of_row = votes.row == row
        counted = zip(*(part[of_row].tolist() for part in (votes.item, votes.votes, votes.buyers)), strict=True)
        assert list(counted) == slow_votes(train, asked, kindred_BK[row].tolist(), row)
        assert votes.place[of_row].tolist() == list(range(int(of_row.sum())))


def test_groups_hold_the_first_items_each_under_its_votes(drawn: tuple[Samples, Samples, Ints]) -> None:
    train, asked, kindred_BK = drawn
    groups = votes_of(train, kindred_BK, most=4, asked=asked, item_domain=ITEM_DOMAIN, pad=NUM_ITEMS)
    for row in range(len(asked)):
        read = [
            (item, NUM_VOTES_OF[header])
            for group, header in zip(groups.items[row].tolist(), groups.headers[row].tolist(), strict=True)
            for item in reversed(group)
            if item != NUM_ITEMS
        ]
        slow = slow_votes(train, asked, kindred_BK[row].tolist(), row)[:4]
        assert read == [(item, votes) for item, votes, _ in slow]
        assert int(np.bitwise_or.reduce(groups.buyers[row], axis=None)) == np.bitwise_or.reduce(
            [0, *(b for *_, b in slow)]
        )


NUM_VOTES_OF = {6 + place: place + 1 for place in range(10)}


def test_histories_are_the_latest_items_of_each(drawn: tuple[Samples, Samples, Ints]) -> None:
    train, _, kindred_BK = drawn
    groups = histories_of(train, kindred_BK, most=3, pad=NUM_ITEMS)
    for row, place in np.ndindex(kindred_BK.shape):
        user = kindred_BK[row, place]
        shown = [item for item in groups.items[row, place].tolist() if item != NUM_ITEMS]
        assert shown == ([] if user == NOBODY else train.history_of(int(user)).tolist()[-3:])
        assert set(groups.buyers[row, place].tolist()) <= {0, 1 << place}


def test_how_votes_read() -> None:
    titles = [f"Thing {item}" for item in range(NUM_ITEMS)]
    tokenizer = train_tokenizer(
        [clean_title(title) for title in titles], vocab_size=400, frame=make_frame(None, NAMES).texts
    )
    pieces = build_pieces(
        tokenizer, titles=titles, domains=ITEM_DOMAIN.tolist(), domain_names=NAMES, max_item_tokens=20
    )
    source = PromptSource(
        samples=samples_of([[1, 20]], domains=[1]), known=samples_of([[20, 16, 2], [17, 16], [3]], domains=[0, 0, 0]),
        neighbours=NeighbourRows(rows=np.array([0, 1, 2]), offsets=np.array([0, 3])), item_domain=ITEM_DOMAIN,
        num_neighbours=3, max_history=2, form="votes", kindred_items=5, with_target=False,
    )  # fmt: skip
    asking = NeighbourRows(rows=np.array([0, 1, 2]), offsets=np.array([0, 3]))
    assert asking.matrix(np.zeros(1, dtype=np.int64)).tolist() == [[0, 1, 2]]
    source = replaced_user(source)
    prompts = assemble(
        pieces, source.wanted(np.zeros(1, dtype=np.int64)), Budget(10_000, answer_reserve=4, fit_answer=False)
    )
    assert tokenizer.decode(prompts.tokens.tolist()) == (
        "### Instruction:\nRecommend a new Office item to the user. Answer with its title.\n\n### Input:\n"
        "2 similar users bought:\nOffice: Thing 16\nOne similar user bought:\nOffice: Thing 17\n"
        "The user bought:\nArt: Thing 1\nOffice: Thing 20\nRecommend a new Office item.\n\n### Response:\n"
    )
    assert prompts.neighbours_shown.tolist() == [2]
    assert prompts.neighbours_wanted.tolist() == [2]


def replaced_user(source: PromptSource) -> PromptSource:
    """The same with an asking user whom train does not know."""
    source.samples.user[:] = 99
    return source


def test_a_crowded_prompt_counts_only_the_users_it_shows() -> None:
    titles = [f"Thing {item}" for item in range(NUM_ITEMS)]
    tokenizer = train_tokenizer(titles, vocab_size=400, frame=make_frame(None, NAMES).texts)
    pieces = build_pieces(
        tokenizer, titles=titles, domains=ITEM_DOMAIN.tolist(), domain_names=NAMES, max_item_tokens=20
    )
    groups = histories_of(samples_of([[1], [2]], domains=[0, 0]), np.array([[0, 1]]), most=1, pad=NUM_ITEMS)
    want = Wanted(
        sample=np.array([0]), domain=np.array([0]), own=np.array([[3]]), neighbours=groups.items,
        headers=groups.headers, buyers=groups.buyers, target=None, watched=np.array([2]),
    )  # fmt: skip
    whole = assemble(pieces, want, Budget(10_000, answer_reserve=4, fit_answer=False))
    cut = assemble(pieces, want, Budget(len(whole.tokens) + 3, answer_reserve=4, fit_answer=False))
    assert (whole.neighbours_shown.tolist(), cut.neighbours_shown.tolist()) == ([2], [1])
    assert (whole.target_shown.tolist(), cut.target_shown.tolist()) == ([True], [False])
    assert whole.neighbours_wanted.tolist() == cut.neighbours_wanted.tolist() == [2]
