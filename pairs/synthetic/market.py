"""Generate a pair whose truth is known: users with interests that span both domains.

- An *interest* is a theme (coffee, bread, ...) that has items in both domains; each item stands at a position on the
  theme's circle and has a style. A user has three themes with weights, and one style that he prefers in both domains.
- *Sequence*: the next purchase stays with the theme of the last one with probability `STAY`; inside a theme it is drawn
  to the positions just after the last purchase there, whichever domain that was in.
- *Transfer*: themes, styles and positions are the user's, not the domain's, so what he bought in one domain says what
  he will buy in the other.
- *The ceiling*: for every purchase the generator knows the probability of every item of its domain given the user's
  interests and past. The sum of the ten highest is the best hit rate at 10 that any model can expect for it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from pairs.synthetic.words import THEMES
from pairs.synthetic_config import SyntheticConfig

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NUM_THEMES = len(THEMES)
NUM_STYLES = 4
THEME_WEIGHTS = (0.5, 0.3, 0.2)
EXPLORE = 0.05  # weight of all themes alike beside a user's own
THEME_EXPONENT = 0.3  # popularity of themes and, inside a theme, of items: rank ** -exponent
ITEM_EXPONENT = 0.5
STAY = 0.5
STYLE_GAIN = 3.0
STEP, REACH, STEP_GAIN = 0.06, 0.05, 12.0  # the next position: how far on, how exact, how much likelier
CELLS_AT_ONCE = 2_000_000  # users x items of a domain simulated together: bounds the memory
FIRST_TIME, LAST_START = 1_577_836_800, 1_672_531_200  # 2020-01-01, 2023-01-01
MEAN_GAP_DAYS = 12.0
TOP = 10


@dataclass(frozen=True)
class Market:
    """What is for sale, as arrays: domain d, theme t, place m in the theme (padded where a theme has one item less)."""

    weight: Floats  # [2, T, M], 0 where there is no item
    style: Ints  # [2, T, M]
    position: Floats  # [M]

    @property
    def places(self) -> int:
        """Items of the largest theme."""
        return len(self.position)


def build_market(config: SyntheticConfig) -> Market:
    """The items of both domains; item (theme t, place m) exists where m * T + t < items_per_domain."""
    rng = np.random.default_rng([config.seed, 0])
    places = -(-config.items_per_domain // NUM_THEMES)
    exists = np.arange(places)[None, :] * NUM_THEMES + np.arange(NUM_THEMES)[:, None] < config.items_per_domain
    rank = rng.permuted(np.tile(np.arange(1, places + 1), (2, NUM_THEMES, 1)), axis=2)
    style = rng.permuted(np.tile(np.arange(places) % NUM_STYLES, (2, NUM_THEMES, 1)), axis=2)
    return Market(
        weight=np.where(exists, rank**-ITEM_EXPONENT, 0.0),
        style=style.astype(np.int64),
        position=np.arange(places) / places,
    )


def simulate(config: SyntheticConfig, market: Market) -> pl.DataFrame:
    """Every user's purchases: user, domain, theme, place, time (ms), ceiling (the sum of the ten highest
    probabilities), in_top (it was one of those ten); sorted by user, then time."""
    parts = []
    users_at_once = max(CELLS_AT_ONCE // config.items_per_domain, 1)
    for first in range(0, config.num_users, users_at_once):
        count = min(users_at_once, config.num_users - first)
        rng = np.random.default_rng([config.seed, 1, first])
        part = _simulate_users(rng, market, count=count, mean=config.mean_interactions)
        parts.append(part.with_columns(user=pl.col("user") + first))
    return pl.concat(parts).sort("user", "time")


def _simulate_users(rng: np.random.Generator, market: Market, *, count: int, mean: int) -> pl.DataFrame:
    users = np.arange(count)
    themes = _choose_themes(rng, count)  # [U, 3]
    theme_weight = np.zeros((count, NUM_THEMES))
    np.put_along_axis(theme_weight, themes, np.array(THEME_WEIGHTS)[None, :], axis=1)
    theme_weight = (1 - EXPLORE) * theme_weight + EXPLORE / NUM_THEMES
    liked = rng.integers(NUM_STYLES, size=count)
    share_x = rng.uniform(0.35, 0.65, size=count)
    most = min(4 * mean, int((market.weight[0] > 0).sum()))  # so that nobody can buy a domain empty
    lengths = np.clip(6 + rng.poisson(rng.gamma(4.0, (mean - 6) / 4.0, size=count)), 6, most)
    last_theme = np.full(count, -1)
    last_position = np.full((count, NUM_THEMES), np.nan)
    bought = np.zeros((count, 2, NUM_THEMES, market.places), dtype=bool)
    steps = []
    for step in range(int(lengths.max())):
        active = users[lengths > step]
        domain = np.where(rng.random(len(active)) < share_x[active], 0, 1)
        domain = np.where(step < 2, step, domain)  # everybody buys in both domains
        chances = _chances(
            market,
            domain=domain,
            theme_weight=theme_weight[active],
            last_theme=last_theme[active],
            last_position=last_position[active],
            liked=liked[active],
            bought=bought[active, domain],
        )  # [A, T * M], rows sum to 1
        best = np.partition(chances, -TOP, axis=1)[:, -TOP:]  # [A, TOP], the lowest of them first
        cumulated = chances.cumsum(axis=1)
        drawn = (cumulated <= rng.random((len(active), 1)) * cumulated[:, -1:]).sum(axis=1)
        theme, place = np.divmod(drawn, market.places)
        row = {"user": active, "domain": domain, "theme": theme, "place": place, "step": step}
        in_top = chances[np.arange(len(active)), drawn] >= best[:, 0]
        steps.append({**row, "ceiling": best.sum(axis=1), "in_top": in_top})
        bought[active, domain, theme, place] = True
        last_theme[active] = theme
        last_position[active, theme] = market.position[place]
    purchases = pl.concat(pl.DataFrame(step) for step in steps).sort("user", "step")
    start = rng.uniform(FIRST_TIME, LAST_START, size=count)
    gap = rng.exponential(MEAN_GAP_DAYS * 86_400, size=purchases.height)
    seconds = pl.col("start") + pl.col("gap").cum_sum().over("user")
    timed = purchases.with_columns(gap=pl.Series(gap), start=pl.Series(start[purchases["user"].to_numpy()]))
    time = (seconds * 1000).cast(pl.Int64) + pl.col("step")  # the step keeps a user's times apart
    return timed.select("user", "domain", "theme", "place", "ceiling", "in_top", time=time)


def _choose_themes(rng: np.random.Generator, count: int) -> Ints:
    """Three different themes a user [U, 3], the favourite first, popular themes more often (Gumbel top k)."""
    popularity = np.arange(1, NUM_THEMES + 1) ** -THEME_EXPONENT
    keys = np.log(popularity)[None, :] + rng.gumbel(size=(count, NUM_THEMES))
    return np.argsort(-keys, axis=1)[:, : len(THEME_WEIGHTS)]


def _chances(
    market: Market,
    *,
    domain: Ints,
    theme_weight: Floats,
    last_theme: Ints,
    last_position: Floats,
    liked: Ints,
    bought: Bools,
) -> Floats:
    """The probability of every item of each row's domain as the next purchase [A, T * M]."""
    rows = np.arange(len(domain))
    theme = (1 - STAY) * theme_weight
    new = last_theme < 0
    theme[rows[~new], last_theme[~new]] += STAY
    theme[new] = theme_weight[new]
    away = market.position[None, None, :] - last_position[:, :, None] - STEP
    away = np.abs((away + 0.5) % 1.0 - 0.5)
    pull = 1 + STEP_GAIN * np.nan_to_num(np.exp(-((away / REACH) ** 2)))
    taste = np.where(market.style[domain] == liked[:, None, None], STYLE_GAIN, 1.0)
    inside = market.weight[domain] * pull * taste * ~bought  # [A, T, M]
    total = inside.sum(axis=2, keepdims=True)
    chances = theme[:, :, None] * np.divide(inside, total, out=np.zeros_like(inside), where=total > 0)
    flat = chances.reshape(len(domain), -1)
    result: Floats = flat / flat.sum(axis=1, keepdims=True)
    return result
