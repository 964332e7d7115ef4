"""What test is asked with more or less knowledge, and what is chosen for it."""
