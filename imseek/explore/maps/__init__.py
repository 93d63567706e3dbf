"""Maps: a plane on which images lie by what their vectors say."""
