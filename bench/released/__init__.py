"""A training step of preset `code` beside the released code's, written densely."""
