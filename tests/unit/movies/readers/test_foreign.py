"""Files of other kinds are named with how to convert them, and what that says works; nothing is unpickled."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from caiman_pipeline.extraction.masks.read import READERS, read_masks
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.readers.foreign import MASKS, MOVIES
from caiman_pipeline.movies.readers.open import FORMATS, open_file


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("m.gif", "a video.*ffmpeg -i m.gif .*m_%06d.tif"),
        ("m.n5", "an N5 store.*Save it as Zarr"),
        ("m.pkl", "Python objects, which are never loaded"),
        ("m.czi", "microscope"),
        ("raw.bin", "numbers without"),
        ("frame.png", "single picture"),
        ("m.xyz", "unknown format '.xyz'"),
    ],
)
def test_a_file_of_another_kind_says_how_to_convert_it(tmp_path, name, says):
    (tmp_path / name).write_bytes(b"RIFF")
    with pytest.raises(PipelineError, match=rf"{name}: .*{says}"):
        open_file(tmp_path / name)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


def write_objects(path):
    if path.suffix == ".npy":
        np.save(path, np.array({"masks": Bomb()}, dtype=object), allow_pickle=True)
    elif path.suffix == ".npz":
        np.savez(path, masks=np.array([Bomb()], dtype=object))
    else:
        path.write_bytes(pickle.dumps(Bomb()))


@pytest.mark.parametrize("name", ["labels_seg.npy", "stat.npy", "m.npz", "m.pkl"])
def test_masks_that_are_python_objects_are_not_loaded(tmp_path, name):
    write_objects(tmp_path / name)
    with pytest.raises(PipelineError, match=rf"{name}: Python objects, which are never loaded.*tifffile\.imwrite"):
        read_masks(tmp_path / name, (7, 11), pixel_order="C")


@pytest.mark.parametrize("name", ["m.npy", "raw_pickle.npy"])
def test_movies_that_are_python_objects_are_not_loaded(tmp_path, name):
    if name == "m.npy":
        write_objects(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(PipelineError, match="Python objects, which are never loaded"):
        open_file(tmp_path / name, "TYX")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("l.png", "label image in TIFF"),
        ("x.abc", "masks are read from"),
    ],
)
def test_masks_of_another_kind_say_how_to_convert_them(tmp_path, name, says):
    (tmp_path / name).write_bytes(b"..")
    with pytest.raises(PipelineError, match=rf"{name}: .*{says}.*\.tif"):
        read_masks(tmp_path / name, (7, 11), pixel_order="C")


def test_nothing_that_is_read_is_called_foreign():
    # Of files that end in .bin only those of suite2p are.
    assert set(MOVIES) & set(FORMATS) == {".bin"}
    assert not set(MASKS) & set(READERS)
