"""Figures of bench/scale.py at small sizes."""
