"""The STAC API of a running peer (STAC API 1.0.0): searching its own disk over HTTP."""
