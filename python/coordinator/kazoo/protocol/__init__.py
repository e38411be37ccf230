"""What kazoo keeps under this name: states and events."""
