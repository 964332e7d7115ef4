"""Tests of pairs.reading."""
