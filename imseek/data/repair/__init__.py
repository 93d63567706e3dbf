"""Verification of a collection, and its repair from whatever is left."""
