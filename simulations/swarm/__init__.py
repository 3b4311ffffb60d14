"""How peers of a simulation pass messages on among themselves."""
