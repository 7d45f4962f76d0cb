"""Kinds of arrays, for annotations: by what their numbers mean, whatever their width.

The width is part of a docstring (``float32 (K, T)``), of records and files. A checker of types that knew it would ask
for casts after nearly every expression, since numpy itself does not say what width comes out of one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Measured or computed: fluorescence, footprints, displacements.
FloatArray = NDArray[np.floating[Any]]
# Ids, counts, indices, places in pixels or frames.
IntArray = NDArray[np.integer[Any]]
# Flags and masks.
BoolArray = NDArray[np.bool_]
# Fourier transforms.
ComplexArray = NDArray[np.complexfloating[Any, Any]]
# Values as a file has them, whole numbers or not.
NumberArray = NDArray[np.number[Any]]
# Text, records, or whatever a table holds.
AnyArray = NDArray[Any]
