"""What the language model writes and what that stands for."""
