"""What the language model sees."""
