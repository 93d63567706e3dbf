"""How images get in: sources are scanned, files hashed and decoded in threads, encoded in batches, committed."""
