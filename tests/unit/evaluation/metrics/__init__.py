"""Tests of evaluation.metrics."""
