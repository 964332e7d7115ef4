"""Tests of pairs.finding."""
