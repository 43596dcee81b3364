"""Measurements, each one command; results are printed as a table, and as JSON with --json FILE."""
