"""Files that strangers made: lies about everything imseek reads, and a watch on what reading them touches."""
