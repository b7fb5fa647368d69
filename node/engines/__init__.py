"""Secrets engines and the system backend: they read views and decide plans. Pure."""
