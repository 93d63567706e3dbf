"""Quality metrics and their confidence intervals, as pure functions of arrays."""
