"""Dataset files by BitTorrent, from mirrors and peers at once."""
