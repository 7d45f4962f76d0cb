"""Source extraction: constrained non-negative matrix factorisation in tiles, merged, refined over the full field."""
