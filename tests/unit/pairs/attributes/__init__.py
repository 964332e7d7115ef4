"""Tests of pairs.attributes."""
