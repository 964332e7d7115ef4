"""Stages that go on with another number of ranks than they began with, and ranks that do not agree."""
