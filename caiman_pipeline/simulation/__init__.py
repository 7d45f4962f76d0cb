"""Simulated two-photon recordings with known cells, activity and motion."""
