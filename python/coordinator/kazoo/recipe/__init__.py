"""The recipes, each in the module that kazoo keeps it in."""
