"""Tests of training.tuning."""
