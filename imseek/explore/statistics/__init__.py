"""A collection as a dataset: image quality, class balance, leakage between splits, coverage."""
