"""What is done about duplicates: plans, what comes of them, and the way back."""
