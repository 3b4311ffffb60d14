"""What leaves a peer for other tools: where it is written, and the layout of a static catalogue."""
