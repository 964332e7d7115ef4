"""Lists of candidates: which, packed how, scored how."""
