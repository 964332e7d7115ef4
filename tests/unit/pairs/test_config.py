"""The pair's configuration: refused with its dotted name, defaults that follow from the source."""

from typing import Any

import pytest

from pairs.config import PairConfig
from pairs.synthetic_config import SyntheticConfig


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"k_core": 0}, "pair.k_core must be at least 1, got 0"),
        ({"valid_share": 1.5}, "pair.valid_share must be between 0 and 1, got 1.5"),
        ({"valid_share": 0.5, "test_share": 0.5}, "pair.valid_share + pair.test_share"),
        ({"domains": ["one"]}, "pair.domains"),
        ({"domains": ["same", "same"]}, "pair.domains"),
        ({"source": "amazon", "splits": "released"}, "pair.splits=released"),
        ({"source": "released", "splits": "time"}, "pair.splits=time"),
        ({"source": "released", "splits": "given"}, "pair.splits=given"),
        (
            {"source": "samples", "splits": "last_one_out"},
            "pair.splits=last_one_out does not go with pair.source=samples",
        ),
        ({"source": "tables", "splits": "given"}, "pair.splits=given does not go with pair.source=tables"),
        (
            {"source": "samples", "k_core": 5},
            "pair.k_core does not go with pair.source=samples, which is taken as it is",
        ),
        (
            {"source": "tables", "graph_users": "one_domain", "users": "either"},
            "pair.graph_users=one_domain does not go: pair.users=either",
        ),
        ({"source": "amazon", "path": "d", "meta_x": ["m"]}, "pair.path and pair.meta_x"),
        ({"source": "amazon", "reviews_x": ["r"], "meta_x": ["m"]}, "pair.reviews_y is empty"),
        ({"source": "released", "reviews_x": ["r"]}, "pair.reviews_x goes with pair.source=amazon or tables"),
        ({"source": "tables"}, "pair.reviews_x is empty"),
        ({"source": "tables", "path": "d"}, "pair.path does not go with pair.source=tables"),
        ({"source": "tables", "reviews_x": ["r"], "reviews_y": ["r"]}, "pair.meta_x is empty"),
        (
            {"source": "amazon", "time_from": "May"},
            "pair.time_from must be a date like 2015-01-31, or a time, got 'May'",
        ),
        ({"source": "amazon", "time_from": "2015-01-02", "time_to": "2015-01-02"}, "must be before pair.time_to"),
        ({"source": "released", "min_rating": 4}, "pair.min_rating does not go with pair.source=released"),
        ({"max_bad_share": 1.0}, "pair.max_bad_share must be at least 0 and below 1, got 1.0"),
        ({"path": "d"}, "pair.path is given while pair.source is synthetic"),
    ],
)
def test_wrong_value_is_refused_with_its_dotted_name(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=r"pair\.") as refusal:
        PairConfig(**wrong)
    assert named in str(refusal.value)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"num_users": 1}, "pair.synthetic.num_users"),
        ({"items_per_domain": 10}, "pair.synthetic.items_per_domain"),
        ({"mean_interactions": 2}, "pair.synthetic.mean_interactions"),
        ({"seed": -1}, "pair.synthetic.seed must not be negative, got -1"),
        ({"num_users": 100_001}, "num_users must be at most 100000, got 100001; pair.synthetic.generator=sampled"),
        ({"items_per_domain": 100_000}, "items_per_domain must be in 48..43200, got 100000; pair.synthetic.generator="),
        ({"compression": "none"}, "pair.synthetic.compression=none goes with pair.synthetic.generator=sampled"),
        ({"workers": 2}, "pair.synthetic.workers=2 goes with pair.synthetic.generator=sampled, got exact"),
        ({"generator": "sampled", "items_per_domain": 47}, "pair.synthetic.items_per_domain must be in 48..10000000"),
        ({"generator": "sampled", "shard_users": 1}, "pair.synthetic.shard_users must be at least 10, got 1"),
        ({"generator": "sampled", "workers": 0}, "pair.synthetic.workers must be at least 1, got 0"),
        ({"generator": "sampled", "single_domain_share": 1.0}, "pair.synthetic.single_domain_share must be at least 0"),
    ],
)
def test_wrong_generator_value_is_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        SyntheticConfig(**wrong)


def test_sampled_generator_takes_ten_million_users_and_items() -> None:
    config = SyntheticConfig(generator="sampled", num_users=10_000_000, items_per_domain=10_000_000)
    assert config.shard_users == 100_000


def test_split_rule_follows_from_the_source() -> None:
    assert PairConfig(source="released", path="d").split_rule == "released"
    assert PairConfig(source="samples", path="d").split_rule == "given"
    assert PairConfig(source="amazon", path="d").split_rule == "time"
    assert PairConfig(source="synthetic", splits="user").split_rule == "user"


@pytest.mark.parametrize("source", ["released", "samples", "synthetic"])
def test_users_of_one_domain_may_teach_whatever_the_source(source: Any) -> None:
    assert PairConfig(source=source, graph_users="one_domain").graph_users == "one_domain"
