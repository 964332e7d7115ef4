"""Tests of training.saved."""
