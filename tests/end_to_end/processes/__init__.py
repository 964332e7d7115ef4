"""Runs that are killed, locked, installed: the processes of the command as a user meets them."""
