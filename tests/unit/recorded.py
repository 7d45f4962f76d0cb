"""Facts and settings of the recording that the notebook tests analyse."""

FACTS = {"frame_rate_hz": 20.0, "decay_time_s": 0.5, "cell_diameter": "8 px"}
# Motion that rigid correction follows, so that a short movie is enough; a frame that is listed as bad.
SETTINGS = {"motion": {"method": "rigid", "bad_frames": ["17"]}, "recording": FACTS}
