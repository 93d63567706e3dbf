"""The only ways to a collection's bytes: durable writes, opening without following links, and checked parsing."""
