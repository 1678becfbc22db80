"""The built-in plugins, one file each; found by entry points, switched on only by name."""
