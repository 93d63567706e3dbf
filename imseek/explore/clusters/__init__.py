"""Groups of images that are alike: found, described, named, kept."""
