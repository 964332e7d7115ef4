"""Tests of evaluation.protocols."""
