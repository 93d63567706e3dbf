"""Clusters of similar images: fit, describe, name, store."""
