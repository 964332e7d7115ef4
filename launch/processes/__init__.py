"""The processes of a run: how they start, who holds the folder, how they end and what they leave."""
