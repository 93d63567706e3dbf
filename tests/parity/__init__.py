"""One member of each family of encoders, laid out in a hub cache with random weights, beside its own library.

Shared by tests/contracts/test_families.py (reduced configurations) and bench/parity.py (true architectures).
"""
