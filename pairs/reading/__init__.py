"""Bytes of any dump to good rows; knows files, no users and no splits."""
