"""The HTTP service: searches for other programs and machines, thin, on top of the public API (docs/http.md)."""
