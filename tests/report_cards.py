"""A data card that holds everything, the least metrics that a report can be made of, and the report of the two."""

from pathlib import Path
from typing import Any

from evaluation.report.publish import publish_plots, publish_report

Json = dict[str, Any]  # Any: plain JSON values
SPLITS = ("train", "valid", "test")
PLOTS = {
    "history_lengths",
    "item_popularity",
    "interactions_by_month",
    "target_popularity",
    "popularity_drift",
    "filters",
}


def make_card() -> Json:
    """A card that holds everything."""
    counts = {split: {"all": 1200 * n, "X": 700 * n, "Y": 500 * n} for n, split in enumerate(SPLITS, 1)}
    seen = {"items_seen": 0.5, "items_asked": 0.25, "users": 0.75}
    return {
        "pair": "Art-Office",
        "domains": ["Art", "Office"],
        "source": "amazon",
        "split_rule": "time",
        "cuts": ["2014-01-24T00:00:00Z", "2014-04-23T00:00:00Z"],
        "audit": {
            "target_in_history": {"found": 139, "example": "the first: sample 117 of user 58", "allowed": True},
            "identical_histories": {"found": 2, "example": "the first: sample 9 of user 8"},
            "history_later_than_target": {"found": None},
            "held_out_in_train": {"found": 0},
        },
        "reading": {
            "bad_rows": 7,
            "files": [{"file": "reviews_Art.jsonl.gz", "rows": 76212, "bad": {"no rating": 7}}],
            "titles_cut": {"X": 3, "Y": 0},
        },
        "filters": {
            "read": {"X": 80000, "Y": 90000, "users": 7144, "users_of_both": 7140},
            "titled_items": {"X": 7601, "Y": 15756},
            "kept": {"X": 60671, "Y": 67075, "users": 7109, "users_of_both": 7109},
        },
        "order": "chronological",
        "order_evidence": {"timestamps": True, "fully_alternating_histories": 0.2},
        "items": {"X": 18639, "Y": 19757},
        "duplicate_titles": {"X": 73, "Y": 108},
        "near_duplicate_titles": {
            letter: {
                "same_words": 12,
                "same_words_but_numbers": 596,
                "examples": [["gel pen 2", "gel pen 4"]],
                "longest": 436,
            }
            for letter in "XY"
        },
        "users": {"all": 9577, "train": 8000, "valid": 577, "test": 1000, "disjoint": True},
        "graph_only_users": 4321,
        "users_of_one_domain": {"train": 7, "valid": 8, "test": 9},
        "samples": counts,
        "interactions": counts,
        "density": {"X": 0.0005787, "Y": 0.0004525},
        "history_length": {split: {"mean": 17.88, "median": 16.0, "max": 28} for split in SPLITS},
        "time_range": {
            split: {
                "targets": ["2013-05-01T00:00:00Z", "2014-07-22T00:00:00Z"],
                "histories_from": "2000-05-02T00:00:00Z",
            }
            for split in SPLITS
        },
        "id_closeness": {
            "within": 3,
            **{key: {"targets": 0.082, "by_chance": 0.00218} for key in (*SPLITS, "all")},
            "ids_follow_purchases": True,
        },
        "train_age_days": {"valid": {"p10": -2.0, "median": 90.5, "p90": 181.0}, "test": None},
        "unseen_targets": {split: {"all": 0.1764, "X": 0.1, "Y": 0.2} for split in ("valid", "test")},
        "twins": dict.fromkeys(SPLITS, 0.15),
        "popularity": {
            "items": {letter: {"median": 3.0, "p99": 36.5, "max": 247, "gini": 0.55} for letter in "XY"},
            "targets": {
                split: {
                    "median_train_count": 7.0,
                    "by_train_count": {"0": 0.1, "1-2": 0.2, "3-9": 0.3, "10-99": 0.35, "100+": 0.05},
                }
                for split in SPLITS
            },
        },
        "popularity_drift": {
            split: {"X": {"distance": 0.897, "by_chance": 0.8324}, "Y": {"distance": None, "by_chance": None}}
            for split in ("valid", "test")
        },
        "coverage": {split: {"X": seen, "Y": seen} for split in SPLITS},
        "repeats": {split: {"in_history": 0.0077, "targets": 0.0073} for split in SPLITS},
        "histograms": {
            "history_length": {
                "bins": [1, 2, 3, 5, 8],
                "train": [0, 5, 9, 4, 0],
                "valid": [0, 2, 3, 1, 0],
                "test": [0, 0, 3, 2, 0],
            },
            "item_popularity": {letter: {"rank": [1, 10, 100], "count": [247, 40, 0]} for letter in "XY"},
            "interactions_by_month": {"months": ["2013-11", "2014-01", "2014-06"], "X": [5, 9, 2], "Y": [1, 1500, 3]},
        },
    }


def make_metrics(pair: str = "Art-Office") -> Json:
    """The least that a report can be made of."""
    system = dict.fromkeys(("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10", "mrr@20", "mrr"), 0.5)
    table = {"popularity": {"all": {**system, "ci95": {"hr@10": [0.4, 0.6], "mrr": [0.3, 0.7]}}}}
    split = {
        "num_samples": 2,
        "num_users": 1,
        "slices": {"all": 2},
        "systems": table,
        "paired": {},
        "ceilings": {"all": {"target_in_train": 1.0}},
        "other_filter": {"systems": table},
    }
    fusion = {"weights": {"ridge": 1.0}, "num_candidates": 2, "below_parts": False}
    return {
        "pair": pair,
        "domains": ["Art", "Office"],
        "settings": {"filter_history": True, "bootstrap_resamples": 100, "selection_metric": "hr@10"},
        "splits": {"test": split},
        "retrieval": {"test": {"hit_rate": 0.25}},
        "out_of_domain": {"kinrec": {"test": 0.0}},
        "chosen": {
            "baselines": {"text": {"decay": 0.8}},
            "ridge_users": {"used": 1, "all": 1},
            "baseline_fusion": fusion,
            "fusion": fusion,
            "kinrec": {
                "by": "list_ranker",
                "trees": 40,
                "depth": 100,
                "weights": {"list_ranker": 1.0},
                "features": {"text place": 0.6, "sales": 0.4},
            },
            "knowledge": "refit",
            "chronological": True,
        },
        "timing": {"stages": {"pretrain": 193.0}, "evaluate": {"judge": 10.5}, "tune_baselines": {"ridge": 9.9}},
    }


def write_report(card: Json, folder: Path, metrics: Json | None = None) -> tuple[str, str]:
    """`report.md` and `report.html` of a card."""
    publish_report(metrics or make_metrics(), card, publish_plots(card, folder), folder)
    return (folder / "report.md").read_text(), (folder / "report.html").read_text()
