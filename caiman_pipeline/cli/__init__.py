"""Command-line entry points, one file per verb."""
