"""What features share for work on one generation: sessions, pictures by id, neighbours, score columns."""
