"""Companions are those of loops, however little memory they are counted in."""
