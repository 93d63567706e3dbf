"""Sources made of the same pictures in every form that imseek takes, for the contract suite over all of them."""
