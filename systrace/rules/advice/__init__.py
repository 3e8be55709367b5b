"""What to do, for this client and this peer."""
