"""Segments: items in, Parquet out, and the checks of what others wrote."""
