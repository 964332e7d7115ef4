"""Category pairs: read Amazon dumps, filter, split, describe, synthesise."""
