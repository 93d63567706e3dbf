"""Pictures inside pictures: crops, screenshots, tiles of collages."""
