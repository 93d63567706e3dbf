"""HTTP service: a thin layer over the public API, for other programs and machines (docs/http.md)."""
