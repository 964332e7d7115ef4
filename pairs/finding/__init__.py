"""Which files a pair is made of: names to lists of files; looks into them only to tell what they are."""
