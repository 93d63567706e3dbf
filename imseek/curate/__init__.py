"""Order among pictures that are there more than once: candidates, pairs, groups, judgements, plans, undo."""
