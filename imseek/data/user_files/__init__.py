"""The user's own files: safe paths to them, what was recorded about them, and moves that lose nothing."""
