"""metrics.json and card.json to pages; imports nothing else of evaluation."""
