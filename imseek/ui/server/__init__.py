"""What the HTTP service and the web pages share: open collections, pictures and their routes, and the process."""
