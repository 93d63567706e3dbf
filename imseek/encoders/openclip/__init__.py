"""Encoders of open_clip. ``encoder`` has the class; ``exported`` answers words alone, without open_clip or torch."""
