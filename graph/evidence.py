"""What the co-occurrence and the word graph say of every candidate of one domain: few weights, much signal.

For a history h of items i_p, a candidate j of domain D, and [.] the case "i_p is of D" or not:

    near(j)  = sum_p exp(recency_p + bias[.] + kind[.] cos(i_p, j)) n_p^-fade[.] (sum_g exp(gap_g) c_g(i_p, j))^power[.]
    words(j) = mean_p' <tfidf(i_p), tfidf(j)>, weighted by recency and domain
    score(j) = gain log(near(j) + exp(mix) words(j)^bend + exp(floor) (n_j + 0.1)^popularity) + likeness words(j)

c_g counts users that have both items within distance class g, n users of an item; in training the asking user's own
counts are out of both (leave one user out), for the same reason as an edge that is to be predicted. With power 1,
gaps 0 and likeness 0 the first line is item-item cosine with recency. Each of the three terms may be left out: near,
words (with the likeness behind the logarithm), or the floor, in whose place there is a very small number then. Where
there are times, what sold of j before the moment of the question is added, in logarithms: sum_f (clock_f + age
aged_f) facts_f(j) (graph/clock.py), which starts from nothing; age is that of what is known at the moment.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex

from graph.clock import FACTS, NOW, SalesClock, Sold
from graph.companions.mapped import CompanionGraph, FoundPairs, expand
from graph.companions.pair_keys import NUM_GAPS
from graph.histories import Entries, entries_of

SMALL = 1e-6  # keeps the power of a zero likeness differentiable


@dataclass(frozen=True)
class EvidenceTerms:
    """Which terms there are."""

    near: bool = True
    words: bool = True
    floor: bool = True


@dataclass(frozen=True)
class EvidenceGraph:
    """What evidence about the items `first .. first + size` is drawn from; row num_items is the padding's."""

    first: int
    size: int
    companions: CompanionGraph
    num_users: Tensor  # [I + 1], train users of each item
    word_offsets: Tensor  # [I + 2]
    word: Tensor  # [C]
    tfidf: Tensor  # [C]
    num_words: int
    domain_words: EdgeIndex  # [size, num_words]
    domain_tfidf: Tensor
    terms: EvidenceTerms
    clock: SalesClock | None = None
    """What sold when; None where there are no times, or they are not told."""

    def sold(self, moment_B: Tensor | None, own_user_B: Tensor | None, num_rows: int) -> Sold | None:
        """What sold of each candidate before a sample's moment [B, size]; without a moment, of all that is known."""
        if self.clock is None:
            return None
        moment_B = torch.full((num_rows,), NOW, device=self.word.device) if moment_B is None else moment_B
        own = None
        if own_user_B is not None:
            own = self.clock.own_cells(*self.own_columns(own_user_B), own_user_B, moment_B)
        return self.clock.of_all(moment_B, own)

    def is_own(self, user_B: Tensor) -> Tensor:
        """[B, size] whether a train user has a candidate."""
        asker_C, column_C = self.own_columns(user_B)
        own_BD = torch.zeros(len(user_B), self.size, dtype=torch.bool, device=user_B.device)
        own_BD[asker_C, column_C] = True
        return own_BD

    def own_columns(self, user_B: Tensor) -> tuple[Tensor, Tensor]:
        """(which user, which candidate) of all candidates that a train user has, ascending."""
        asker_C, item_C = self.companions.owners.items_of(user_B.cpu().numpy())
        inside_C = (item_C >= self.first) & (item_C < self.first + self.size)
        columns = (asker_C[inside_C], item_C[inside_C] - self.first)
        asker, column = (torch.from_numpy(column_C).to(user_B.device) for column_C in columns)
        return asker, column


@dataclass(frozen=True)
class Gathered:
    """The companions of some histories, whatever weighs them."""

    entries: Entries
    """The histories' items, N of them."""
    pairs: FoundPairs
    num_users: Tensor  # [N], of each of those items, the asking user left out where her own counts are


def gather_companions(graph: EvidenceGraph, history_BL: Tensor, own_user_B: Tensor | None) -> Gathered:
    """With `own_user_B`, as if these users' train samples did not exist."""
    entries = entries_of(history_BL, len(graph.num_users) - 1)
    own_user_N = None if own_user_B is None else own_user_B[entries.row]
    pairs = graph.companions.pairs_of(entries.item, own_user_N)
    return Gathered(entries, pairs, (graph.num_users[entries.item] - int(own_user_N is not None)).clamp_min(1.0))


def history_words(graph: EvidenceGraph, history_BL: Tensor) -> tuple[Entries, Tensor, Tensor]:
    """Words of the histories' items: (the items, which of them, which cell of the graph's words), the last two [C]; a
    word may come several times."""
    entries = entries_of(history_BL, len(graph.num_users) - 1)
    return entries, *expand(graph.word_offsets, entries.item)


class Evidence(nn.Module):
    """The weights above, towards one domain; pairs are [other domain's item, same domain's item]."""

    def __init__(self) -> None:
        super().__init__()

        def weight(*values: float) -> nn.Parameter:
            return nn.Parameter(torch.tensor(values))

        # Where training starts: near what item-item cosine with recency, and text likeness, are tuned to.
        self.decay, self.latest = weight(0.1), weight(0.3)
        self.bias, self.fade = weight(-0.5, 0.0), weight(0.5, 0.5)
        self.power, self.kind = weight(1.2, 1.1), weight(0.5, 0.5)
        self.gap = nn.Parameter(torch.tensor([0.4, 0.4, 0.0, 0.0, -0.2, 0.0, 0.2, -0.4, -0.6, -1.0]))
        self.text_decay, self.text_bias = weight(0.2), weight(-2.5)
        self.mix, self.bend = weight(0.0), weight(1.0)
        self.floor, self.popularity = weight(-3.8), weight(0.6)
        self.gain, self.likeness = weight(1.4), weight(3.0)
        self.clock = nn.Parameter(torch.zeros(2, len(FACTS)))
        assert len(self.gap) == NUM_GAPS

    def forward(
        self,
        graph: EvidenceGraph,
        history_BL: Tensor,
        own_user_B: Tensor | None,
        *,
        moment_B: Tensor | None = None,
        gathered: Gathered | None = None,
        sold: Sold | None = None,
    ) -> Tensor:
        """Scores [B, size]; with `own_user_B`, as if these users' train samples did not exist.

        Args:
            moment_B: as of when each sample asks; None: after all that is known.
            gathered: the histories' companions, where they have been gathered already.
            sold: what the graph says sold before those moments, where it has said so already.
        """
        users_D = graph.num_users[graph.first : graph.first + graph.size]
        users_BD = users_D if own_user_B is None else users_D - graph.is_own(own_user_B).to(users_D.dtype)
        near_BD = self.near(graph, len(history_BL), gathered or gather_companions(graph, history_BL, own_user_B))
        sold = graph.sold(moment_B, own_user_B, len(history_BL)) if sold is None else sold
        return self.mixed(graph.terms, near_BD, self.words(graph, history_BL), users_BD, sold)

    def mixed(self, terms: EvidenceTerms, near: Tensor, words: Tensor, users: Tensor, sold: Sold | None) -> Tensor:
        """The score of candidates out of their terms, all of one shape."""
        near = _if(terms.near, near)
        floor = _if(terms.floor, self.floor.exp() * (users + 0.1) ** self.popularity, least=SMALL)
        alike = _if(terms.words, self.mix.exp() * (words.clamp_min(0) + SMALL) ** self.bend)
        by_clock = self.clock.sum() * 0 if sold is None else sold.weighed(self.clock)
        return self.gain * (near + alike + floor).log() + _if(terms.words, self.likeness * words) + by_clock

    def near(self, graph: EvidenceGraph, num_rows: int, gathered: Gathered) -> Tensor:
        """Weighted companions of the histories [B, size]."""
        row_P, candidate_P, near_P = self.near_pairs(graph, gathered)
        near = torch.zeros(num_rows * graph.size, device=near_P.device)
        return near.index_add(0, row_P * graph.size + candidate_P, near_P).view(num_rows, graph.size)

    def near_pairs(self, graph: EvidenceGraph, gathered: Gathered) -> tuple[Tensor, Tensor, Tensor]:
        """The addends of `near`: (row, candidate, how much), each [P]."""
        entries, pairs = gathered.entries, gathered.pairs
        same_N = entries.is_of(graph.first, graph.size)
        weight_N = self._recency(entries.age) + self.bias[same_N] - self.fade[same_N] * gathered.num_users.log()
        same_P = same_N[pairs.entry]
        shared_P = (pairs.gap_counts @ self.gap.exp()).log()
        log_P = weight_N[pairs.entry] + self.power[same_P] * shared_P + self.kind[same_P] * pairs.likeness
        return entries.row[pairs.entry], pairs.candidate, log_P.exp()

    def words(self, graph: EvidenceGraph, history_BL: Tensor) -> Tensor:
        """Mean likeness of the history's words and the candidates' [B, size]."""
        num_rows = len(history_BL)
        word_C, row_C, value_C = self.query(graph, history_BL)
        query = torch.zeros(graph.num_words * num_rows, device=history_BL.device)
        query = query.index_add(0, word_C * num_rows + row_C, value_C)
        likeness_DB: Tensor = graph.domain_words.matmul(query.view(graph.num_words, num_rows), graph.domain_tfidf)
        return likeness_DB.T

    @torch.no_grad()
    def word_candidates(self, graph: EvidenceGraph, history_BL: Tensor, *, most: int) -> tuple[Tensor, Tensor]:
        """(row, candidate) [P] that share the words that weigh most in a history, about `most` of each row."""
        word_C, row_C, value_C = self.query(graph, history_BL)
        (offsets, item), _ = graph.domain_words.get_csc()
        rare_C = offsets[word_C + 1] - offsets[word_C] <= most // 2  # a common word would leave no room for others
        word_C, row_C, value_C = word_C[rare_C], row_C[rare_C], value_C[rare_C]
        key_Q, place_C = torch.unique(row_C * graph.num_words + word_C, return_inverse=True)
        value_Q = torch.zeros(len(key_Q), device=key_Q.device).index_add(0, place_C, value_C)
        order_Q = torch.argsort(value_Q, descending=True)
        order_Q = order_Q[torch.argsort(key_Q[order_Q] // graph.num_words, stable=True)]
        row_Q, word_Q = key_Q[order_Q] // graph.num_words, key_Q[order_Q] % graph.num_words
        shared_Q = offsets[word_Q + 1] - offsets[word_Q]
        before_Q = shared_Q.cumsum(0) - shared_Q
        first_B = torch.searchsorted(row_Q, torch.arange(len(history_BL), device=row_Q.device))
        before_Q = before_Q - before_Q[first_B.clamp_max(max(0, len(row_Q) - 1))][row_Q] if len(row_Q) else before_Q
        kept_K = torch.nonzero(before_Q + shared_Q <= most)[:, 0]
        entry_P, cell_P = expand(offsets, word_Q[kept_K])
        return row_Q[kept_K][entry_P], item[cell_P]

    def query(self, graph: EvidenceGraph, history_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Words of the histories, as in `history_words`: (word, row, weight), each [C]."""
        entries, entry_C, cell_C = history_words(graph, history_BL)
        log_N = self.text_bias * (1 - entries.is_of(graph.first, graph.size)) - self.text_decay * entries.age
        weight_N = log_N.exp()
        total_B = torch.zeros(len(history_BL), device=history_BL.device).index_add(0, entries.row, weight_N)
        value_C = (weight_N / total_B[entries.row])[entry_C] * graph.tfidf[cell_C]
        return graph.word[cell_C], entries.row[entry_C], value_C

    def _recency(self, age_N: Tensor) -> Tensor:
        return self.latest * (age_N == 0) - self.decay * age_N


def _if(there: bool, term_BD: Tensor, *, least: float = 0.0) -> Tensor:
    """The term, or `least` everywhere; its weights then have gradients all the same, of zero, as DDP asks for."""
    return term_BD if there else term_BD * 0 + least
