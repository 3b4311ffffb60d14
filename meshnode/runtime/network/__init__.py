"""The mesh and the streams between peers: libp2p, contained."""
