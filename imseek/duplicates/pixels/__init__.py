"""Compare the pixels of two pictures: lay one over the other and classify the pair."""
