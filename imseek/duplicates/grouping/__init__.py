"""Group pairs, choose keepers, and apply people's judgements."""
