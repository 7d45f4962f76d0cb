"""Constrained non-negative matrix factorisation of a movie into footprints, traces and background."""
