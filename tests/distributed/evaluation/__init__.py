"""Evaluation on several ranks."""
