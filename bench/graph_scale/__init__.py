"""How a step of the graph stage grows with the catalogue, and what sampling its softmax costs in quality."""
