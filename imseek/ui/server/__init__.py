"""Shared by the HTTP service and the web pages: open collections, pictures and their routes, and the process."""
