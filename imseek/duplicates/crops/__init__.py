"""Find pictures inside pictures: crops, screenshots, tiles of collages."""
