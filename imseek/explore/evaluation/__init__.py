"""Evaluations of a collection: how well words and pictures find each other, and how well an index finds neighbours."""
