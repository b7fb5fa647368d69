"""Hooks that come along: commands for `--hook` of clusters that somebody else runs."""
