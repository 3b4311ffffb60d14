"""The demonstration: two institutions, three peers, one hostile stranger, on one machine."""
