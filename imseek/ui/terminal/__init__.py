"""Pictures in terminals: the preview of a ranking, and `imseek browse`."""
