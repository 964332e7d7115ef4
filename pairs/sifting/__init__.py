"""Rows larger than memory to kept, numbered interactions."""
