"""Captions: their images, their fit, and filters for training pairs."""
