"""Calcium-imaging analysis as a workflow: raw movies to curated neurons, traces and NWB files."""

__version__ = "0.1.0"
