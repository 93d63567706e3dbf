"""From pairs to groups with a keeper, and what people have said of them."""
