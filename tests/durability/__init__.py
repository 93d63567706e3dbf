"""Tests that nothing acknowledged is lost: kills, power cuts, faults of the machine, damages, readers at work."""
