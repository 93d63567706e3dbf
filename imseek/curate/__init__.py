"""Find and clean up duplicates: candidates, pairs, groups, judgements, plans and undo."""
