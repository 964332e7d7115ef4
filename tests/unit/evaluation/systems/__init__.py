"""Tests of evaluation.systems."""
