"""Tests of launch.state."""
