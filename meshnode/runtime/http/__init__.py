"""The peer's HTTP server, and what it serves on this machine: files of payloads, read in place."""
