"""What the graph stage leaves: lists of its parts, of what was left out, of users of one domain."""
