"""Tests of launch.ablation."""
