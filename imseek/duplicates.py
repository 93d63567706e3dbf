"""Duplicates of a collection: found, judged, and put out of the way so that everything can be brought back."""
