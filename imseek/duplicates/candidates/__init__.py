"""Propose pairs worth comparing: similar hashes and similar vectors, found in linear memory and cached."""
