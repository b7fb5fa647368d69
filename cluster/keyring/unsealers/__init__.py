"""Unsealers: where the root key of a sealed node comes from. Shares, a key file, or the other members."""
