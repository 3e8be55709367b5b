"""Which finding it was, what was made good, what can't be told."""
