"""The transit engine: encrypts, signs and MACs for callers who never see the key."""
