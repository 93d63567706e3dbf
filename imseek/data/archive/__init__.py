"""Archive a generation of a collection as one tar, and restore it, for ``imseek.backup`` (docs/format.md, Backups)."""
