"""Shards: the vectors and metadata of a block of images in files that are never changed, and columns beside them."""
