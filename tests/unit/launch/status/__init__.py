"""What `kinrec status` shows."""
