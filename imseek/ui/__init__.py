"""Interfaces for people and programs, thin on top of the public API."""
