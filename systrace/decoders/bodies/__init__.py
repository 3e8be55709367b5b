"""What messages carry, and what is wrong with it."""
