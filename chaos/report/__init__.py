"""Pages and files that people and CI read."""
