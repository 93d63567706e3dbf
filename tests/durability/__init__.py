"""Tests that nothing acknowledged is lost: kills, power cuts, faults of the machine, damages, readers at work."""

import os

#: Its collections are copied from place to place, and written to there.
os.environ.setdefault("IMSEEK_TRUSTED_FOLDERS", "/")
