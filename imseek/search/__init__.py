"""How answers come out: a query becomes a vector, the vector becomes hits."""
