"""Tests of launch.doctor that start nothing."""
