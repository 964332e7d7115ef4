"""Ranking by candidates beside ranking all items."""
