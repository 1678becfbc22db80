"""One page about runs, in one HTML file that needs nothing else: charts, findings, decisions, sheets, settings."""
