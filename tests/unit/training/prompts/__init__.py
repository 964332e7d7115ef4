"""Tests of training.prompts."""
