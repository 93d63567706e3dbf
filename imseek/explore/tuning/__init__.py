"""Steps of ``imseek tune``: examples → split by content → training with early stopping → measurement on held-out
data."""
