"""Processes of a run before their work begins."""
