"""TIFF of every dialect: pages, what its headers say of axes, and which frames a movie has."""
