"""Backups from outside a running cluster: looked at, verified, restored, copied, pruned. Used by the command line,
by `strongroom dev -restore`, and by a node that restores itself when it starts.
"""
