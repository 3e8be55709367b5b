"""What the log shows: who failed, which waits had no end, what is hidden."""
