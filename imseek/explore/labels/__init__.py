"""Labels by words: classes and their sentences, vectors, probabilities, policies, calibration."""
