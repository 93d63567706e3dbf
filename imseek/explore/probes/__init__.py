"""Probes: classifiers over stored vectors, learned from a few labelled images.

Labels → groups of copies → candidate models, cross-validated → a probe; what to label next; held-out evaluation.
"""
