"""What the stages of the language model need, worked out from configurations alone."""
