"""Tests of training.asking."""
