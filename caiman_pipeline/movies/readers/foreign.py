"""Files that are not read as movies or masks, and how to make of them what is read; none of them is ever unpickled."""

from __future__ import annotations

from pathlib import Path

VIDEO = (
    "a video. Convert it to images without loss, `ffmpeg -i {name} -pix_fmt gray -vsync 0 {stem}_%06d.tif`, and list "
    "`{stem}_*.tif`"
)
PYTHON = (
    "Python objects, which are never loaded, since loading can run any code. Where they were made, save the movie with "
    "numpy.save or tifffile.imwrite"
)
MICROSCOPE = "a microscope's own format. Export it as TIFF or OME-TIFF from its software or with Fiji (Bio-Formats)"
MICROSCOPE_SUFFIXES = ".czi .lif .nd2 .oir .oib .oif .vsi .ims .isxd .mesc .lsm .stk .qptiff"
RAW = "numbers without a size or type. Read them as an array where their size is known, and save it with numpy.save"
N5 = "an N5 store, which no library here reads any more. Save it as Zarr or OME-NGFF, for example with z5py or Fiji"
# What suite2p calls its movies, int16 without a header; and the header that Scanbox keeps beside its samples.
SUITE2P = ("data.bin", "data_raw.bin", "data_chan2.bin", "data_chan2_raw.bin")
SCANBOX_HEADER = "what Scanbox says of {stem}.sbx. List that file, this one is read with it"
MOVIES = {
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".joblib"), PYTHON),
    **dict.fromkeys(MICROSCOPE_SUFFIXES.split(), MICROSCOPE),
    **dict.fromkeys((".raw", ".bin", ".dat"), RAW),
    ".n5": N5,
    ".png": "a single picture. Save a movie as a TIFF stack",
    ".jpg": "a single picture. Save a movie as a TIFF stack",
    ".gif": VIDEO,
}
OBJECTS_LEFT_OUT = "Python objects, which are never loaded, such as masks of Cellpose and suite2p"
LABELS = "Save it as a label image in TIFF (Fiji: File > Save As > Tiff), one number for each cell and 0 outside"
MASKS = {
    ".png": f"a picture. {LABELS}",
    ".jpg": f"a picture whose numbers are not kept. {LABELS}",
    ".pkl": f"{PYTHON.split('. ')[0]}. Save the masks with tifffile.imwrite where they were made",
}
OBJECTS = (
    "Python objects, which are never loaded, since loading can run any code. In the program that made the file, save a "
    "label image or masks, for example of a Cellpose file `d = numpy.load(f, allow_pickle=True).item(); "
    "tifffile.imwrite('labels.tif', d['masks'])`; of suite2p's stat.npy set `labels[s['ypix'], s['xpix']] = i + 1` for "
    "each cell i, then tifffile.imwrite"
)


def movie_advice(path: Path) -> str | None:
    """Return what a file is that is not read as a movie, and how to convert it; None where nothing is known of it.

    Parameters
    ----------
    path : path
        A file that is not read.

    Returns
    -------
    str or None
        What it is, and what to do.
    """
    advice = None if path.name in SUITE2P else MOVIES.get(path.suffix.lower())
    if path.suffix.lower() == ".mat" and path.with_suffix(".sbx").exists():
        advice = SCANBOX_HEADER
    return advice.format(name=path.name, stem=path.stem) if advice else None


def masks_advice(path: Path) -> str | None:
    """Return what a file is that masks are not read from, and how to convert it; None where nothing is known of it.

    Parameters
    ----------
    path : path
        A file that is not read.

    Returns
    -------
    str or None
        What it is, and what to do.
    """
    return MASKS.get(path.suffix.lower())


def is_pickle(path: Path) -> bool:
    """Tell whether a ``.npy`` file is a pickle, or an array of pickled objects, by its first bytes alone.

    Parameters
    ----------
    path : path
        A file that is there.

    Returns
    -------
    bool
        Whether it would have to be unpickled; it never is.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> np.save("numbers.npy", np.zeros(3))
    >>> is_pickle(Path("numbers.npy"))
    False
    """
    with path.open("rb") as file:
        head = file.read(256)
    return head[:1] == b"\x80" or (head.startswith(b"\x93NUMPY") and b"'descr': '|O'" in head)


def holds_objects(path: Path, error: Exception) -> bool:
    """Tell whether numpy refused a file because it holds pickled objects: it says so of any file it does not know.

    Parameters
    ----------
    path : path
        The file.
    error : Exception
        What numpy raised.

    Returns
    -------
    bool
        Whether that is the reason.
    """
    return is_pickle(path) or "Object arrays" in str(error) or "Python objects" in str(error)
