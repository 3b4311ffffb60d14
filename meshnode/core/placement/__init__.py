"""Which parts of the archive a volunteer holds (protocol/06-payloads.md, "Placement").

Each node decides alone, from what it sees of the others: nobody coordinates. All of it is pure, and
counts in integers, so that every machine ranks alike. Shapes are those of numpy: E extents of the
archive that the node follows, N volunteers.
"""
