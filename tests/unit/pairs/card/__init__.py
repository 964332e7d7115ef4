"""Tests of pairs.card."""
