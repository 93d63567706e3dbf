"""Scripts that make a collection of each format, and what they once made, so that later versions can be tried on it."""
