"""Draw the purchases of a synthetic pair of 10^4 to 10^7 users: the sampled generator's model, nothing dense in items.

- An *interest* is one of a theme's lines (a style of coffee, of bread, ...); there are the more of them the larger the
  catalogue. It has items in both domains, in a circle of places. Interests, and the items of one, are popular by a
  power of their rank.
- A user has three weighted interests, whichever the domain. *Sequence*: he stays with the last one with probability
  `STAY`, and then often takes the next place of the circle, in the domain that he buys in now. *Transfer*: so what he
  bought in one domain says what he will buy in the other.
- Some purchases are of any interest, a few repeat an earlier one, some users rate low, and a few buy very much.

No table is as long as the users, the items or the interests: what item i is follows from i, so that shards of users
and of items can be made apart.
"""

from dataclasses import dataclass

import numpy as np

from pairs.ragged import offsets_of, places_of, rows_of
from pairs.synthetic.market import (
    FIRST_TIME,
    LAST_START,
    MEAN_GAP_DAYS,
    NUM_STYLES,
    NUM_THEMES,
    STAY,
    THEME_WEIGHTS,
    Bools,
    Floats,
    Ints,
)
from pairs.synthetic.words import COMBINATIONS, NOUNS

PLACES = 40  # items of an interest in each domain, about
INTEREST_EXPONENT, ITEM_EXPONENT = 0.7, 1.1  # popularity: rank ** -exponent
SAME_DOMAIN = 0.4  # as the purchase before; otherwise any
FOLLOW = 0.5  # of the purchases that stay: the next place of the circle
EXPLORE, REPEAT = 0.08, 0.02
REDRAWS = 6  # of an item that the user has; the later half in any interest
LEAST_PURCHASES, MOST_MEANS, ACTIVITY_SIGMA = 5, 50, 0.9  # purchases of a user: log-normal above the least
SPAN_DAYS = 900.0  # who buys much buys often: the expected time from a user's first purchase to the last, at most
HARSH_SHARE = 0.1
RATINGS = (0.0, 0.0, 0.15, 0.3, 0.55)  # of 1 to 5 stars
HARSH_RATINGS = (0.2, 0.25, 0.3, 0.15, 0.1)


@dataclass(frozen=True)
class Shop:
    """What is for sale, the same number of items in both domains; item = place * num_interests + interest."""

    num_items: int
    num_interests: int

    def places(self, interest: Ints) -> Ints:
        """How many items each interest has in each domain."""
        return (self.num_items - 1 - interest) // self.num_interests + 1


@dataclass(frozen=True)
class Purchases:
    """Purchases of some users as columns of equal length, sorted by user, then time."""

    user: Ints  # 0-based among these users
    domain: Ints
    item: Ints
    time: Ints  # ms
    rating: Ints


@dataclass(frozen=True)
class Kinds:
    """What items are, as indices into the word lists, columns of equal length."""

    theme: Ints
    style: Ints
    noun: Ints
    combination: Ints  # of brand, modifier and size
    model: Ints  # tells apart the items that share all of the above; 0 is the first


def build_shop(items_per_domain: int) -> Shop:
    """As many interests of each theme as give an interest about PLACES items in each domain."""
    lines = max(round(items_per_domain / (NUM_THEMES * PLACES)), 1)
    return Shop(num_items=items_per_domain, num_interests=NUM_THEMES * lines)


def describe_items(shop: Shop, item: Ints) -> Kinds:
    """What each item is: no two of a domain are alike in all; one interest's share a brand and a modifier or two."""
    place, interest = np.divmod(item, shop.num_interests)
    places = shop.places(interest)
    line, theme = np.divmod(interest, NUM_THEMES)
    generation, style = line // NUM_STYLES, (line + theme) % NUM_STYLES
    noun = place * NOUNS // places
    most = -(-int(shop.places(np.zeros(1, np.int64))[0]) // NOUNS)  # items of one noun in one interest
    count = generation * most + place - -(-noun * places // NOUNS)  # distinct within theme, style and noun
    model, combination = np.divmod(count, COMBINATIONS)
    return Kinds(theme, style, noun, (combination + theme * 25) % COMBINATIONS, model)


def popularity(shop: Shop, item: Ints, *, domain: int) -> Floats:
    """Share of a domain's purchases that each item gets, about."""
    place, interest = np.divmod(item, shop.num_interests)
    places = shop.places(interest)
    rank = (place - _first_place(interest, domain)) % places
    of_interest = _rank_share(interest, shop.num_interests, INTEREST_EXPONENT)
    return of_interest * _rank_share(rank, places, ITEM_EXPONENT)


def simulate_users(
    rng: np.random.Generator, shop: Shop, *, num_users: int, mean: int, single_domain_share: float
) -> Purchases:
    """What `num_users` users buy. The first of them buys in both domains, whatever `single_domain_share`."""
    lengths = _draw_lengths(rng, num_users, mean=mean)
    user, step = rows_of(lengths), places_of(lengths)  # [N]
    row = np.arange(len(user))
    domain = _draw_domains(rng, user, step, num_users=num_users, single_domain_share=single_domain_share)
    interest, place = _draw_walks(rng, shop, user=user, step=step, domain=domain)
    item = _redraw_bought(rng, shop, user=user, domain=domain, interest=interest, place=place)
    source = _draw_repeats(rng, row, step)
    time = _draw_times(rng, lengths, user=user, first=offsets_of(lengths)[:-1])
    rating = _draw_ratings(rng, user, num_users=num_users)
    return Purchases(user=user, domain=domain[source], item=item[source], time=time, rating=rating)


def _draw_lengths(rng: np.random.Generator, num_users: int, *, mean: int) -> Ints:
    """Purchases of each user: a heavy tail above LEAST_PURCHASES, with the given mean."""
    above = mean - LEAST_PURCHASES
    drawn = rng.lognormal(np.log(above) - ACTIVITY_SIGMA**2 / 2, ACTIVITY_SIGMA, size=num_users)
    rounded = np.floor(drawn + rng.random(num_users)).astype(np.int64)
    return LEAST_PURCHASES + np.minimum(rounded, MOST_MEANS * mean)


def _draw_domains(
    rng: np.random.Generator, user: Ints, step: Ints, *, num_users: int, single_domain_share: float
) -> Ints:
    """The domain of every purchase [N], in runs; who buys in both does so with the first two."""
    share_x = rng.uniform(0.35, 0.65, size=num_users)
    single = rng.random(num_users) < single_domain_share
    single[0] = False
    share_x = np.where(single, share_x < 0.5, share_x)
    again = (rng.random(len(user)) < SAME_DOMAIN) & (step > 1)
    domain = (rng.random(len(user)) >= share_x[user]).astype(np.int64)
    second = np.flatnonzero((step == 1) & ~single[user])
    domain[second] = 1 - domain[second - 1]
    return domain[_latest(~again)]


def _draw_walks(rng: np.random.Generator, shop: Shop, *, user: Ints, step: Ints, domain: Ints) -> tuple[Ints, Ints]:
    """Interest and place of every purchase [N], not looking at what the user has bought already."""
    num_users, count = int(user[-1]) + 1, len(user)
    row = np.arange(count)
    own = _draw_interests(rng, shop, num_users * len(THEME_WEIGHTS)).reshape(num_users, -1)  # [U, 3]
    stays = (rng.random(count) < STAY) & (step > 0)
    choice = np.searchsorted(np.cumsum(THEME_WEIGHTS)[:-1], rng.random(count), side="right")
    interest = own[user, choice][_latest(~stays)]
    follows = stays & (rng.random(count) < FOLLOW)
    begin = _latest(~follows)
    place = (_draw_places(rng, shop, interest, domain)[begin] + row - begin) % shop.places(interest)
    explores = np.flatnonzero(rng.random(count) < EXPLORE)
    interest[explores] = _draw_interests(rng, shop, len(explores))
    place[explores] = _draw_places(rng, shop, interest[explores], domain[explores])
    return interest, place


def _redraw_bought(
    rng: np.random.Generator, shop: Shop, *, user: Ints, domain: Ints, interest: Ints, place: Ints
) -> Ints:
    """The item of every purchase [N], redrawn where the user has it: in the same interest, then in any."""
    interest, place = interest.copy(), place.copy()
    for redraw in range(REDRAWS):
        item = place * shop.num_interests + interest
        key = (user * 2 + domain) * shop.num_items + item
        order = np.argsort(key, kind="stable")
        again = order[1:][np.diff(key[order]) == 0]
        if redraw >= REDRAWS // 2:
            interest[again] = _draw_interests(rng, shop, len(again))
        place[again] = _draw_places(rng, shop, interest[again], domain[again])
    return place * shop.num_interests + interest


def _draw_repeats(rng: np.random.Generator, row: Ints, step: Ints) -> Ints:
    """For every purchase the one whose item it takes [N]: itself, or for a few an earlier one of the user."""
    repeats = (rng.random(len(row)) < REPEAT) & (step > 1)
    back = 1 + np.floor(rng.random(len(row)) * step).astype(np.int64)
    source: Ints = np.where(repeats, row - np.minimum(back, step), row)
    while repeats[source].any():  # of a repeat: on to what that one repeats
        source = source[source]
    return source


def _draw_times(rng: np.random.Generator, lengths: Ints, *, user: Ints, first: Ints) -> Ints:
    """Times in ms [N], strictly increasing for a user."""
    start = (rng.uniform(FIRST_TIME, LAST_START, size=len(lengths)) * 1000).astype(np.int64)
    mean_gap = np.minimum(MEAN_GAP_DAYS, SPAN_DAYS / lengths) * 86_400_000
    gap = 1 + (rng.exponential(size=len(user)) * mean_gap[user]).astype(np.int64)
    passed = np.cumsum(gap)
    time: Ints = passed + (start - passed[first])[user]
    return time


def _draw_ratings(rng: np.random.Generator, user: Ints, *, num_users: int) -> Ints:
    """1 to 5 stars [N]; some users rate low."""
    harsh = rng.random(num_users) < HARSH_SHARE
    drawn = rng.random(len(user))
    usual, low = (np.searchsorted(np.cumsum(shares)[:-1], drawn, side="right") for shares in (RATINGS, HARSH_RATINGS))
    return 1 + np.where(harsh[user], low, usual)


def _draw_interests(rng: np.random.Generator, shop: Shop, count: int) -> Ints:
    """Any interest, the popular ones more often [count]."""
    return _draw_ranks(rng, np.full(count, shop.num_interests), INTEREST_EXPONENT)


def _draw_places(rng: np.random.Generator, shop: Shop, interest: Ints, domain: Ints) -> Ints:
    """A place of each given interest, those of its popular items in the domain more often."""
    places = shop.places(interest)
    rank = _draw_ranks(rng, places, ITEM_EXPONENT)
    return (_first_place(interest, domain) + rank) % places


def _first_place(interest: Ints, domain: Ints | int) -> Ints:
    """Where on an interest's circle its popular items begin: elsewhere in the other domain."""
    return interest * 7919 + domain * 104_729


def _draw_ranks(rng: np.random.Generator, sizes: Ints, exponent: float) -> Ints:
    """A rank below each size, with a density proportional to (rank + 1) ** -exponent, by the inverse of its sum."""
    power = 1 - exponent
    rank = (1 + rng.random(len(sizes)) * ((sizes + 1.0) ** power - 1)) ** (1 / power) - 1
    return np.minimum(rank.astype(np.int64), sizes - 1)


def _rank_share(rank: Ints, sizes: Ints | int, exponent: float) -> Floats:
    """The probability of each rank in `_draw_ranks`."""
    power = 1 - exponent
    share: Floats = ((rank + 2.0) ** power - (rank + 1.0) ** power) / ((np.asarray(sizes) + 1.0) ** power - 1)
    return share


def _latest(marked: Bools) -> Ints:
    """For every place the last marked one up to it [N]; the first is marked."""
    latest: Ints = np.maximum.accumulate(np.where(marked, np.arange(len(marked)), 0))
    return latest
