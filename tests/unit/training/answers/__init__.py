"""Tests of training.answers."""
