"""Answers with their pictures: where these are read from, as HTML for notebooks, and as contact sheets."""
