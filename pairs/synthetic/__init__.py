"""The generator of synthetic pairs, with a command of its own."""
