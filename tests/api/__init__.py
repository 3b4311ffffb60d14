"""The STAC API of a peer, over HTTP on loopback."""
