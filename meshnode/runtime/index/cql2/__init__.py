"""CQL2 (OGC 21-065r2): text and JSON in, bound SQL over the index out."""
