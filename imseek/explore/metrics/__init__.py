"""Figures that say how good something is, and how sure they are. Arrays in, numbers out."""
