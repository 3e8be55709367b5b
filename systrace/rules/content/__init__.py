"""What the bytes say, and who died of them."""
