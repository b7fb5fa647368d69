"""Unsealers: where a sealed node's root key comes from. Shares, a key file, another vault, or the other members."""
