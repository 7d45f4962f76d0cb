"""The same cells over several sessions of one field."""
