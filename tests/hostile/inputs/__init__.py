"""Files that imseek is given, made by strangers: archives, tables, arrays, backups, plans, policies, checkpoints."""
