"""What pictures show: one laid over another, and what that makes of a pair."""
