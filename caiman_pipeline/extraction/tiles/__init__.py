"""Tiles of the field of view: their layout, the search in a batch of them, and putting the batches together."""
