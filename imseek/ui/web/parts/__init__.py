"""What several pages show: results, one picture large, what is downloaded."""
