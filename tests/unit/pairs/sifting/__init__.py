"""Tests of pairs.sifting."""
