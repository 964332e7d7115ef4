"""Vector indexes, kindred users and text grounding."""
