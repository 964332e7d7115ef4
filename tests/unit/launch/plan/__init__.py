"""Tests of launch.plan and of the packages' estimates."""
