"""What the graph stage keeps beside its model does not depend on the number of ranks."""
