"""Where images come from, one small module each. The foundation knows folders and single files."""
