"""A generation of a collection as one tar, and back: what ``imseek.backup`` is made of (docs/format.md, Backups)."""
