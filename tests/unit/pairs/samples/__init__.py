"""Tests of pairs.samples."""
