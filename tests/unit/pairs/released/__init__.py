"""Tests of pairs.released."""
