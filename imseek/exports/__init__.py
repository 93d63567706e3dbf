"""What goes out of a collection for other tools: which images (``selection``), in which ``formats``, and how what is
written takes its place (``placing``)."""
