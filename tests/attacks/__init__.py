"""Attacks on peers that run: they stay up, honest news still arrives, and the attacker is blamed.

Real processes on loopback. Attackers call from an address of their own, 127.0.0.2 and on, where the
attack is one on addresses. Every attack has a bound in number; none of them is timed.
"""
