"""Maps: two-dimensional layouts of images by their vectors."""
