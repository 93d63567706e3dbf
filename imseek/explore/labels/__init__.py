"""Zero-shot labels: classes and templates, vectors, probabilities, policies, calibration."""
