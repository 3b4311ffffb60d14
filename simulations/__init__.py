"""The mesh in virtual time: the node's own code, driven by a discrete-event world."""
