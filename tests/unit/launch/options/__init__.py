"""Tests of launch.options."""
