"""Ranks, metrics, intervals: arithmetic without files."""
