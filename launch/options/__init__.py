"""What a recipe may say: its text, its keys, marks of its fields, bounds of its values."""
