"""The names of all systems that a report judges, in the report's order."""

BASELINES = ("popularity", "markov", "item_cosine", "ridge", "text")
"""Fitted by the evaluate stage; `evaluation.systems.baseline_table` says how."""
GIVEN = ("graph", "llm")
"""Their lists come from stages of their own."""
SYSTEMS = (*BASELINES, "baseline_fusion", *GIVEN, "paper_refined", "kinrec")
JUDGED = tuple(name for name in SYSTEMS if name not in GIVEN)
"""Systems whose lists the evaluate stage makes."""
