"""What ranks leave of themselves, and what is said of it."""
