"""The STAC API against the tools of others, each in an environment of its own, offline."""
