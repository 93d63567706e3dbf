"""How good answers and labels are: pure functions over arrays."""
