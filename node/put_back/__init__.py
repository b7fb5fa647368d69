"""Putting a saved snapshot back into a running cluster: secrets as they were, access as it is, by ordinary writes.

docs/decisions/0010-a-snapshot-is-put-back-by-writes.md says why; work.py carries it out, everything else decides.
"""
