"""The shape of the JSON that is printed, and its schema."""
