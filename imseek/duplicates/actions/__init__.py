"""Act on duplicates: make plans, carry them out and undo them."""
