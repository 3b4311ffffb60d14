"""Static mirrors (protocol/05-sync.md, N-80): written as plain files, and read by a peer."""
