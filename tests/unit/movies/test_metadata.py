from __future__ import annotations

import h5py
import numpy as np
import pytest
import tifffile

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.metadata import FileMetadata, as_text, read_metadata

FRAMES = np.zeros((5, 20, 31), np.uint16)
VOLUMES = np.zeros((5, 3, 20, 31), np.uint16)


def test_imagej_states_interval_and_resolution(tmp_path):
    path = tmp_path / "m.tif"
    metadata = {"axes": "TYX", "finterval": 0.05, "unit": "um"}
    tifffile.imwrite(path, FRAMES, imagej=True, resolution=(1 / 1.2, 1 / 1.2), metadata=metadata)
    assert read_metadata(path) == FileMetadata(20.0, (1.2, 1.2), None)


def test_imagej_states_the_distance_between_planes(tmp_path):
    path = tmp_path / "m.tif"
    metadata = {"axes": "TZYX", "fps": 7.5, "unit": "micron", "spacing": 8.0}
    tifffile.imwrite(path, VOLUMES, imagej=True, resolution=(2.0, 2.0), metadata=metadata)
    assert read_metadata(path) == FileMetadata(7.5, (0.5, 0.5), 8.0)


def test_imagej_states_height_and_width_each_in_its_unit(tmp_path):
    path = tmp_path / "m.tif"
    metadata = {"axes": "TYX", "unit": "micron", "yunit": "mm"}
    tifffile.imwrite(path, FRAMES, imagej=True, resolution=(1 / 1.2, 400), metadata=metadata)
    assert read_metadata(path).pixel_size_um == (2.5, 1.2)


def test_imagej_without_a_unit_states_no_size(tmp_path):
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, FRAMES, imagej=True, metadata={"axes": "TYX", "finterval": 0.0})
    assert read_metadata(path) == FileMetadata()


@pytest.mark.parametrize(("interval", "unit", "rate"), [(33.3, "ms", 30.03), (0.1, "s", 10.0), (0.0, "s", None)])
def test_ome_states_interval_and_size_with_their_units(tmp_path, interval, unit, rate):
    path = tmp_path / "m.ome.tif"
    metadata = {
        "axes": "TZYX",
        "PhysicalSizeX": 800.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 2.5,
        "PhysicalSizeZ": 6.0,
        "TimeIncrement": interval,
        "TimeIncrementUnit": unit,
    }
    tifffile.imwrite(path, VOLUMES, metadata=metadata)
    assert read_metadata(path) == FileMetadata(rate, (2.5, 0.8), 6.0)


def test_a_width_without_a_height_is_no_size(tmp_path):
    tifffile.imwrite(tmp_path / "m.ome.tif", FRAMES, metadata={"axes": "TYX", "PhysicalSizeX": 0.8})
    assert read_metadata(tmp_path / "m.ome.tif").pixel_size_um is None


def test_sizes_that_differ_by_rounding_are_square(tmp_path):
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.976569, "PhysicalSizeY": 0.976558}
    tifffile.imwrite(tmp_path / "m.ome.tif", FRAMES, metadata=metadata)
    assert as_text(read_metadata(tmp_path / "m.ome.tif").pixel_size_um) == "0.976569"


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
    assert read_metadata(path) == FileMetadata(29.9786, (0.32959, 0.32959), None)


def test_scanimage_volumes_have_the_rate_of_volumes(tmp_path):
    path = tmp_path / "m.tif"
    header = "\n".join(
        [
            "SI.hFastZ.enable = true",
            "SI.hRoiManager.scanFrameRate = 30",
            "SI.hRoiManager.scanVolumeRate = 7.5",
            "SI.hScan2D.logAverageFactor = 3",
            "SI.hStackManager.stackZStepSize = 15",
            "SI.hRoiManager.pixelsPerLine = 512",
            "SI.hRoiManager.linesPerFrame = 200",
            "SI.hRoiManager.imagingFovUm = [-256 -200;256 -200;256 200;-256 200]",
        ]
    )
    tifffile.imwrite(path, FRAMES, software=header, description="frameNumbers = 1", metadata=None)
    with tifffile.TiffFile(path) as file:
        if not file.is_scanimage:
            pytest.skip("tifffile does not take this header for ScanImage's")
    assert read_metadata(path) == FileMetadata(2.5, (2.0, 1.0), 15.0)


SQUARE_FIELD = [
    "SI.hRoiManager.imagingFovUm = [-250 -250;250 -250;250 250;-250 250]",
    "SI.hRoiManager.scanFrameRate = 30",
]
# The same field, turned by a right angle: its first edge, along which lines are scanned, lies along y.
TURNED_FIELD = [
    "SI.hRoiManager.imagingFovUm = [300 -250;300 250;-300 250;-300 -250]",
    "SI.hRoiManager.scanFrameRate = 30",
]
SAMPLES = ["SI.hRoiManager.pixelsPerLine = 100", "SI.hRoiManager.linesPerFrame = 40"]


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (SQUARE_FIELD + SAMPLES, (12.5, 5.0)),
        (TURNED_FIELD + SAMPLES, (15.0, 5.0)),
        (SQUARE_FIELD, None),
        (SQUARE_FIELD + SAMPLES + ["SI.hRoiManager.mroiEnable = 1"], None),
    ],
)
def test_scanimage_states_field_lines_and_pixels(tmp_path, header, size):
    path = tmp_path / "m.tif"
    software = "\n".join(["SI.VERSION_MAJOR = '2018b'", *header])
    tifffile.imwrite(path, FRAMES, software=software, description="frameNumbers = 1", metadata=None)
    assert read_metadata(path).pixel_size_um == size


OLD_PRAIRIE = """<?xml version="1.0"?><PVScan version="3.3"><Sequence type="TSeries Timed Element" cycle="1">
<Frame relativeTime="0"><PVStateShard><Key key="micronsPerPixel_XAxis" permissions="Read" value="0.44" />
<Key key="micronsPerPixel_YAxis" permissions="Read" value="0.88" /></PVStateShard></Frame>
<Frame relativeTime="0.4"></Frame></Sequence></PVScan>"""
NEW_PRAIRIE = """<?xml version="1.0"?><PVScan version="5.5"><PVStateShard><PVStateValue key="micronsPerPixel">
<IndexedValue index="XAxis" value="1.1" /><IndexedValue index="YAxis" value="1.3" />
<IndexedValue index="ZAxis" value="5" />
</PVStateValue></PVStateShard><Sequence type="TSeries ZSeries Element" cycle="1"><Frame relativeTime="0"></Frame>
<Frame relativeTime="0.4"></Frame></Sequence></PVScan>"""


@pytest.mark.parametrize(
    ("xml", "facts"),
    [
        (OLD_PRAIRIE, FileMetadata(2.5, (0.88, 0.44), None)),
        (NEW_PRAIRIE, FileMetadata(None, (1.3, 1.1), 5.0)),
        ("<other/>", FileMetadata()),
    ],
)
def test_the_xml_beside_prairie_images_is_read(tmp_path, xml, facts):
    path = tmp_path / "TSeries-01-002_Cycle00001_Ch2_000001.tif"
    tifffile.imwrite(path, FRAMES)
    (tmp_path / "TSeries-01-002.xml").write_text(xml)
    assert read_metadata(path) == facts


def test_an_hdf5_dataset_states_its_element_size(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["movie"], file["other"] = VOLUMES, FRAMES
        file["movie"].attrs["element_size_um"] = [6.0, 2.5, 1.0]
        file["other"].attrs["element_size_um"] = np.array([2.0, 2.0], np.float32)
    assert read_metadata(tmp_path / "m.h5", "movie") == FileMetadata(None, (2.5, 1.0), 6.0)
    assert read_metadata(tmp_path / "m.h5", "other") == FileMetadata(None, (2.0, 2.0), None)
