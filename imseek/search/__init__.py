"""Search: encode a query as vectors, find and rank the candidates, and build pages of hits."""
