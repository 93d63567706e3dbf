"""Decode pictures in a confined process, so that a file that attacks its codec costs one picture.

``pool`` lends a worker to each decode; ``worker`` is this process's handle on one; ``worker_main`` is the program
that a worker runs; ``confinement`` (with ``landlock`` and ``seccomp``) drops its rights; ``messages`` defines the
protocol between the two. docs/decisions/0031-heic-and-confined-codecs.md has the reasons and the figures.
"""
