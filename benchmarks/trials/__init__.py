"""Trials: whole federations of processes on loopback, judged by what their users would see."""
