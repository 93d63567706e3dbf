"""Learning classes from a few labelled images, over stored vectors: labels → groups → learners, judged by
cross-validation → a probe; what to label next; how good it is on what was held out."""
