"""Other implementations of libp2p against a peer that runs."""
