"""The search index in SQLite, derived from the segments."""
