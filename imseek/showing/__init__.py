"""Show results with their pictures: load thumbnails, and render HTML for notebooks and contact sheets."""
