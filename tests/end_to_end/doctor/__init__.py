"""The doctor on a machine with a planted fault."""
