"""Traces: noise and time constants, non-negative deconvolution, baselines and DF/F."""
