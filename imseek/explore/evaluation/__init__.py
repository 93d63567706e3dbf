"""Evaluations of a collection: text–image retrieval, comparison of encoders, and recall of indexes."""
