"""What a recipe may say: marks of its fields, bounds of its values."""
