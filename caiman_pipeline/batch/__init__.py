"""What surrounds runs: checks beforehand, costs, where a batch stands, and what its jobs left behind."""
