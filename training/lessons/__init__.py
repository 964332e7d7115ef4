"""What a fine-tune learns from: prompts, two of a user in one row, lists of candidates."""
