"""Readers of strangers' files, on arbitrary bytes: any input is read, or refused by an error that is documented.

``targets`` has the readers, each with sound inputs to begin from; ``mutations`` changes documents. ``make fuzz``
(bench/fuzz.py) looks for new inputs by coverage; ``test_fuzz.py`` goes through those in ``corpus/``, which reach the
most with the fewest bytes, and some new ones each time.
"""
