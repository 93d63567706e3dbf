"""What features share to work on one generation: sessions, pictures by id, neighbours, score columns."""
