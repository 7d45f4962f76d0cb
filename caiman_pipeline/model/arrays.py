"""Kinds of arrays, for annotations."""

import numpy as np

FloatArray = np.ndarray
