"""Changes of a collection: the lock, the writer, one commit for each change, and what is built in several commits."""
