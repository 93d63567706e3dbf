"""Results as text for people and programs, for all interfaces."""
