"""What kazoo keeps under this name: the handler for threads."""
