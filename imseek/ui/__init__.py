"""Interfaces for people and programs: thin layers over the public API."""
