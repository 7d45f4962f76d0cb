"""Movie readers, the movie store and result files."""
