"""Captions: whose they are, how well they fit, which pairs are worth keeping."""
