"""Tests of pairs.synthetic."""
