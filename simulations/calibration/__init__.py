"""One scenario in two worlds: real peers on loopback and the simulator, side by side."""
