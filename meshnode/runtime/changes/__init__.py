"""The feed of changes over HTTP: `/changes` for programs, `/changes.rss` for feed readers."""
