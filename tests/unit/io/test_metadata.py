from __future__ import annotations

import numpy as np
import pytest
import tifffile

from caiman_pipeline.errors import PipelineError
from caiman_pipeline.io.metadata import FileMetadata, read_metadata

FRAMES = np.zeros((5, 20, 31), np.uint16)
VOLUMES = np.zeros((5, 3, 20, 31), np.uint16)


def test_imagej_states_interval_and_resolution(tmp_path):
    path = tmp_path / "m.tif"
    metadata = {"axes": "TYX", "finterval": 0.05, "unit": "um"}
    tifffile.imwrite(path, FRAMES, imagej=True, resolution=(1 / 1.2, 1 / 1.2), metadata=metadata)
    assert read_metadata(path) == FileMetadata(20.0, 1.2, None)


def test_imagej_states_the_distance_between_planes(tmp_path):
    path = tmp_path / "m.tif"
    metadata = {"axes": "TZYX", "fps": 7.5, "unit": "micron", "spacing": 8.0}
    tifffile.imwrite(path, VOLUMES, imagej=True, resolution=(2, 2), metadata=metadata)
    assert read_metadata(path) == FileMetadata(7.5, 0.5, 8.0)


def test_imagej_without_a_unit_states_no_size(tmp_path):
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, FRAMES, imagej=True, metadata={"axes": "TYX", "finterval": 0.0})
    assert read_metadata(path) == FileMetadata()


@pytest.mark.parametrize(("interval", "unit", "rate"), [(33.3, "ms", 30.03), (0.1, "s", 10.0), (0.0, "s", None)])
def test_ome_states_interval_and_size_with_their_units(tmp_path, interval, unit, rate):
    path = tmp_path / "m.ome.tif"
    metadata = {
        "axes": "TZYX", "PhysicalSizeX": 800.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeZ": 6.0,
        "TimeIncrement": interval, "TimeIncrementUnit": unit,
    }  # fmt: skip
    tifffile.imwrite(path, VOLUMES, metadata=metadata)
    assert read_metadata(path) == FileMetadata(rate, 0.8, 6.0)


def test_a_plain_tiff_and_other_formats_state_nothing(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", FRAMES)
    np.save(tmp_path / "m.npy", FRAMES)
    assert read_metadata(tmp_path / "m.tif") == read_metadata(tmp_path / "m.npy") == FileMetadata()


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "m.tif").write_bytes(b"nothing here")
    with pytest.raises(PipelineError, match=r"m\.tif: not a readable TIFF"):
        read_metadata(tmp_path / "m.tif")


@pytest.mark.real_data
def test_scanimage_states_rate_and_size():
    from pathlib import Path

    path = Path(__file__).parents[4] / "shared/data/formats/scanimage_6frames_512_int16.tif"
    if not path.exists():
        pytest.skip("development recordings are not here")
    assert read_metadata(path) == FileMetadata(29.9786, 0.32959, None)


def test_scanimage_volumes_have_the_rate_of_volumes(tmp_path):
    path = tmp_path / "m.tif"
    header = "\n".join([
        "SI.hFastZ.enable = true", "SI.hRoiManager.scanFrameRate = 30", "SI.hRoiManager.scanVolumeRate = 7.5",
        "SI.hScan2D.logAverageFactor = 3", "SI.hStackManager.stackZStepSize = 15", "SI.hRoiManager.pixelsPerLine = 512",
        "SI.hRoiManager.imagingFovUm = [-256 -200;256 -200;256 200;-256 200]",
    ])  # fmt: skip
    tifffile.imwrite(path, FRAMES, software=header, description="frameNumbers = 1", metadata=None)
    with tifffile.TiffFile(path) as file:
        if not file.is_scanimage:
            pytest.skip("tifffile does not take this header for ScanImage's")
    assert read_metadata(path) == FileMetadata(2.5, 1.0, 15.0)
