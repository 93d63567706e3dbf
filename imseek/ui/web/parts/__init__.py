"""Parts shared by several pages: results, the large view, downloads."""
