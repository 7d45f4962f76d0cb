"""Deconvolution and DF/F of fluorescence traces."""
