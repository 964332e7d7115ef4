"""A small catalogue to ask a language model about, and where the real answers of such a run are."""

from pathlib import Path

import polars as pl

REAL = Path(__file__).parents[1].parent / "shared" / "data" / "amazon_art_office" / "llm_attributes.jsonl.gz"
ITEMS = pl.DataFrame(
    {
        "item": [0, 1, 2, 3],
        "domain": [0, 0, 1, 1],
        "source_id": ["a", "b", "c", "d"],
        "title": ["Green Tea", "Green Tea", "Cup", "Odd thing"],
        "attributes": ["", "catalogue words", "more words", "odd words"],
    }
)
NAMES = ("tea", "kitchen")
