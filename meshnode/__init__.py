"""A peer of a federation of open-data catalogues: signed, searchable, without a centre."""

__version__ = "0.1.0"
