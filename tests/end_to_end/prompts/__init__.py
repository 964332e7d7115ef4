"""Prompts of a finished run."""
