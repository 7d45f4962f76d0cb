"""Numerical pieces that several stages use: written once."""
