"""Results as text, JSON, HTML and Markdown: once, for all interfaces."""
