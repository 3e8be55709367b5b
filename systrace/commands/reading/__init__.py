"""What the commands that read logs have in common."""
