"""What is known of the samples: card and leak audit; decides nothing."""
