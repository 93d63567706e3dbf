"""Indexing: scan sources, hash and decode files in threads, encode them in batches, and commit."""
