"""The conformance run: what every plugin must do, tried on toy models, and a named answer for each promise."""
