"""Tables of traces, and the verb that deconvolves them without a movie."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime

import numpy as np
import pytest
from spike_trains import simulate, smooth_correlation

from caiman_pipeline.cli.deconvolve import add_arguments, run
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.results.files import load_result
from caiman_pipeline.traces.tables import TraceTable, rate_and_decay, read_table


@pytest.fixture(autouse=True)
def _restore_environment(monkeypatch):
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    for name in ("NUMBA_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, os.environ.get(name, str(os.cpu_count()) if "NUMBA" in name else "passive"))


def read(path, transposed=False, series=None):
    return read_table(path, transposed=transposed, series=series)


def deconvolve(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    run(parser.parse_args([*map(str, arguments)]))


@pytest.fixture
def traces():
    made, spikes, _ = simulate(1, 3, 900, rate=0.01, level=10.0)
    return 3 * made, spikes


def save_nwb(path, table, rate, names=("RoiResponseSeries",)):
    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel

    file = NWBFile("made", "id", datetime(2024, 1, 1, tzinfo=UTC))
    device = file.create_device("scope")
    channel = OpticalChannel(name="green", description="green", emission_lambda=520.0)
    plane = file.create_imaging_plane(
        name="plane",
        optical_channel=channel,
        description="",
        device=device,
        excitation_lambda=920.0,
        indicator="GCaMP",
        location="V1",
    )
    segmentation = ImageSegmentation()
    module = file.create_processing_module("ophys", "ophys")
    module.add(segmentation)
    cells = segmentation.create_plane_segmentation("cells", plane)
    for k in range(len(table)):
        mask = np.zeros((4, 5))
        mask[0, k] = 1
        cells.add_roi(image_mask=mask, id=10 + k)
    rois = cells.create_roi_table_region("all", region=list(range(len(table))))
    fluorescence = Fluorescence()
    module.add(fluorescence)
    for name in names:
        fluorescence.create_roi_response_series(name=name, data=table.T, rois=rois, unit="a.u.", rate=rate)
    with NWBHDF5IO(str(path), "w") as io:
        io.write(file)


def test_csv_with_header_and_time(tmp_path):
    (tmp_path / "a.csv").write_text("time_s,first,second\n0.0,1,5\n0.1,2,\n0.2,3,7\n")
    table = read(tmp_path / "a.csv")
    assert table.names == ("first", "second")
    assert table.frame_rate_hz == pytest.approx(10.0)
    np.testing.assert_array_equal(table.traces, [[1, 2, 3], [5, np.nan, 7]])


def test_csv_without_header_either_way_round(tmp_path):
    (tmp_path / "a.csv").write_text("1,2,3\n4,5,6\n")
    assert read(tmp_path / "a.csv").traces.shape == (3, 2)
    np.testing.assert_array_equal(read(tmp_path / "a.csv", transposed=True).traces, [[1, 2, 3], [4, 5, 6]])


def table_text(columns, header):
    return "\n".join([header, *(",".join(f"{v:g}" for v in row) for row in np.stack(columns, axis=1))]) + "\n"


@pytest.fixture
def lively():
    """Two traces of 40 frames."""
    return np.random.default_rng(4).normal(100, 5, (2, 40)).round(3)


@pytest.mark.parametrize("header", [",a,b", "index,a,b", "Unnamed: 0,a,b", "frame,a,b", '"",a,b'])
def test_a_column_that_counts_frames_is_left_out_and_named(tmp_path, lively, header):
    for first in (0, 1):
        (tmp_path / "a.csv").write_text(table_text([np.arange(40) + first, *lively], header))
        found = read(tmp_path / "a.csv")
        assert found.names == ("a", "b")
        assert found.left_out == (f"column {header.split(',')[0].strip(chr(34))!r}",)
        np.testing.assert_allclose(found.traces, lively, rtol=1e-4)


def test_names_that_count_up_are_a_header(tmp_path, lively):
    """As pandas writes a table without names."""
    columns = [np.arange(40), *lively, lively[0]]
    (tmp_path / "a.csv").write_text(table_text(columns, ",0,1,2"))
    assert read(tmp_path / "a.csv").names == ("0", "1", "2")
    assert read(tmp_path / "a.csv").traces.shape == (3, 40)


@pytest.mark.parametrize(("name", "unit"), [("time_ms", 1e3), ("t [ms]", 1e3), ("Time (s)", 1), ("seconds", 1)])
def test_times_are_in_the_unit_of_their_name(tmp_path, lively, name, unit):
    (tmp_path / "a.csv").write_text(table_text([np.arange(40) / 20 * unit, *lively], f"{name},a,b"))
    assert read(tmp_path / "a.csv").frame_rate_hz == pytest.approx(20.0)


@pytest.mark.parametrize("header", ["x,a,b", "0.0,1,2"])
def test_a_first_column_that_ascends_evenly_is_asked_about(tmp_path, lively, header):
    (tmp_path / "a.csv").write_text(table_text([np.arange(1, 41) * 0.05, *lively], header))
    with pytest.raises(PipelineError, match=r"ascends in even steps of 0\.05.*Name it time_s, time_ms or frame"):
        read(tmp_path / "a.csv")
    np.save(tmp_path / "a.npy", np.stack([np.arange(40) * 0.05, *lively]))
    with pytest.raises(PipelineError, match="first trace ascends and never falls"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", r"'' ascends and never falls.*leave it out"),
        ("time (min),a,b\n", r"'time \(min\)' ascends and never falls"),
        ("frame,a,b\n", r"'frame' counts frames, but not every one.*row of empty cells"),
        ("time_s,a,b\n", "do not ascend in even steps"),
    ],
)
def test_a_first_column_with_gaps_is_no_trace(tmp_path, lively, header, reason):
    first = np.arange(lively.shape[1]) + 3 * (np.arange(lively.shape[1]) > 7)
    rows = "\n".join(f"{i},{a:.4f},{b:.4f}" for i, (a, b) in zip(first, lively.T, strict=True))
    (tmp_path / "a.csv").write_text(header + rows)
    with pytest.raises(PipelineError, match=reason):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("suffix", "separator", "decimal"), [("csv", ";", "."), ("csv", ";", ","), ("csv", "\t", ","), ("tsv", ",", ".")]
)
def test_cells_may_be_set_apart_by_other_signs(tmp_path, suffix, separator, decimal):
    rows = [["time_s", "first", "second"], ["0.0", "1.5", "5"], ["0.1", "2", ""], ["0.2", "-3e2", ".7"]]
    text = "\n".join(separator.join(c.replace(".", decimal) for c in row) for row in rows)
    path = tmp_path / f"a.{suffix}"
    path.write_text(text)
    table = read(path)
    assert table.names == ("first", "second")
    assert table.frame_rate_hz == pytest.approx(10.0)
    np.testing.assert_allclose(table.traces, np.array([[1.5, 2, -300], [5, np.nan, 0.7]]))


def test_more_traces_than_frames_are_asked_about(tmp_path, lively):
    np.savetxt(tmp_path / "a.csv", lively, delimiter=",")
    np.save(tmp_path / "a.npy", lively.T)
    for path in (tmp_path / "a.csv", tmp_path / "a.npy"):
        with pytest.raises(PipelineError, match=r"read as 40 traces of 2 frames.*`--transposed`.*`--no-transposed`"):
            read(path, transposed=None)
        assert read(path, transposed=True).traces.shape == (2, 40)
        assert read(path, transposed=False).traces.shape == (40, 2)


def test_a_table_on_its_side_keeps_the_names_of_its_rows(tmp_path, lively):
    rows = ["time_s," + ",".join(f"{t:g}" for t in np.arange(40) / 20)]
    rows += [f"{name}," + ",".join(f"{v:g}" for v in row) for name, row in zip("ab", lively, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    found = read(tmp_path / "a.csv", transposed=True)
    assert (found.names, found.frame_rate_hz) == (("a", "b"), pytest.approx(20.0))
    np.testing.assert_allclose(found.traces, lively, rtol=1e-4)


def test_times_in_another_unit_are_refused_unless_the_rate_is_given(tmp_path, lively):
    table = TraceTable(lively, ("a", "b"), frame_rate_hz=0.01)
    with pytest.raises(PipelineError, match=r"step by 100, in seconds 0\.01 Hz.*milliseconds, name the column time_ms"):
        rate_and_decay(table, None, 0.5, path=tmp_path)
    assert rate_and_decay(table, 10.0, 0.5, path=tmp_path) == 10.0
    with pytest.raises(PipelineError, match=r"its times say 0\.01 Hz, `--frame-rate-hz` says 30"):
        rate_and_decay(table, 30.0, 0.5, path=tmp_path)
    assert rate_and_decay(TraceTable(lively, ("a", "b")), 30.0, 0.5, path=tmp_path) == 30.0


def test_a_rate_at_which_nothing_could_be_seen_is_refused(tmp_path, lively):
    np.save(tmp_path / "a.npy", lively)
    arguments = (tmp_path / "a.npy", "--output", tmp_path / "o.h5", "--decay-time-s", 0.4, "--frame-rate-hz")
    with pytest.raises(PipelineError, match=r"would last 0\.013 frames.*30\.3 Hz"):
        deconvolve(*arguments, 0.033)
    assert not (tmp_path / "o.h5").exists()


def test_npy_of_one_trace_or_many(tmp_path):
    np.save(tmp_path / "one.npy", np.arange(50))
    np.save(tmp_path / "many.npy", np.random.default_rng(0).random((2, 10)))
    assert read(tmp_path / "one.npy").traces.shape == (1, 50)
    assert read(tmp_path / "many.npy").traces.shape == (2, 10)
    assert read(tmp_path / "many.npy", transposed=True).traces.shape == (10, 2)


def test_nwb_series_with_its_rate_and_ids(tmp_path, traces):
    table, _ = traces
    save_nwb(tmp_path / "a.nwb", table, 20.0)
    found = read(tmp_path / "a.nwb")
    np.testing.assert_array_equal(found.traces, table)
    assert found.frame_rate_hz == 20.0
    assert found.names == ("10", "11", "12")


def test_nwb_with_several_series_asks_which(tmp_path, traces):
    save_nwb(tmp_path / "a.nwb", traces[0], 20.0, names=("Raw", "Neuropil"))
    with pytest.raises(PipelineError, match=r"--series.*Fluorescence/Neuropil, Fluorescence/Raw"):
        read(tmp_path / "a.nwb")
    assert read(tmp_path / "a.nwb", series="Raw").traces.shape == (3, 900)


def test_nwb_series_that_share_a_name_are_told_apart_by_their_container(make_outcome, tmp_path):
    from caiman_pipeline.config.recording import RecordingSettings
    from caiman_pipeline.nwb.write import write_nwb
    from caiman_pipeline.outcome import component_table

    outcome, path = make_outcome(), tmp_path / "a.nwb"
    write_nwb(path, outcome, component_table(outcome, pixel_um=None), facts=RecordingSettings())
    with pytest.raises(PipelineError, match=r"2 .* 'RoiResponseSeries': .*DfOverF/RoiResponseSeries, Fluorescence/Roi"):
        read(path, series="RoiResponseSeries")
    with pytest.raises(PipelineError, match=r"no ROI response series 'Rubbish': .* There: DfOverF/DfOverFDenoised, "):
        read(path, series="Rubbish")
    for name, expected in (
        ("DfOverF/RoiResponseSeries", outcome.traces.dff),
        ("Fluorescence/RoiResponseSeries", outcome.traces.fluorescence),
        ("Demixed", outcome.components.denoised + outcome.components.residual),
        ("DfOverFDenoised", outcome.traces.dff_denoised),
    ):
        np.testing.assert_array_equal(read(path, series=name).traces, expected)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "a,b\n1,2\n3\n", "not a table"),
        ("a.csv", "a,b\n1,x\n", r"'x' .*\(row 1 .*, column 2\)"),
        ("a.csv", "a,b\n", "no numbers"),
        ("a.csv", "1,2,3\n", "transposed"),
        ("a.csv", "", "not a table"),
        ("a.csv", "t,a\n0,1\n2,1\n2.1,1\n", "even steps"),
        ("a.npy", "no array", "npy"),
        ("a.nwb", "no file", "NWB"),
        ("a.xlsx", "", r"\.csv, \.tsv, \.npy or \.nwb"),
    ],
)
def test_file_that_is_no_table_is_explained(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(PipelineError, match=message):
        read(tmp_path / name)


def test_missing_file_is_explained(tmp_path):
    for name in ("a.csv", "a.npy", "a.nwb"):
        with pytest.raises(PipelineError, match=name):
            read(tmp_path / name)


def test_object_arrays_are_not_read(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    with pytest.raises(PipelineError):
        read(tmp_path / "a.npy")


def test_verb_writes_everything_to_hdf5(tmp_path, traces):
    table, spikes = traces
    np.save(tmp_path / "a.npy", table)
    deconvolve(tmp_path / "a.npy", "--output", tmp_path / "out.h5", "--frame-rate-hz", 30, "--decay-time-s", 0.6)
    result = load_result(tmp_path / "out.h5", "deconvolution")
    for k in range(3):
        assert smooth_correlation(result["deconvolved"][k], spikes[k], 4) > 0.85
    assert {"denoised", "baseline", "noise", "ar", "sparsity", "flags", "names"} <= set(result.arrays)
    assert result.settings["decay_time_s"] == 0.6
    assert result.settings["order"] == 2


def test_verb_gives_the_same_from_csv_and_nwb_and_takes_settings(tmp_path, traces):
    table, _ = traces
    np.savetxt(tmp_path / "a.csv", table.T, delimiter=",", header="x,y,z", comments="", fmt="%.9g")
    save_nwb(tmp_path / "a.nwb", table, 30.0)
    settings = ("--decay-time-s", 0.6, "--settings", '{"order": 1}')
    deconvolve(tmp_path / "a.csv", "--output", tmp_path / "c.npy", "--frame-rate-hz", 30, *settings)
    deconvolve(tmp_path / "a.nwb", "--output", tmp_path / "n.csv", *settings)
    from_csv = np.load(tmp_path / "c.npy")
    from_nwb = np.loadtxt(tmp_path / "n.csv", delimiter=",", skiprows=1).T
    assert (tmp_path / "n.csv").read_text().startswith("10,11,12\n")
    np.testing.assert_allclose(from_nwb, from_csv, rtol=1e-4, atol=1e-4)


def test_verb_needs_a_rate_and_a_known_ending(tmp_path, traces):
    np.save(tmp_path / "a.npy", traces[0])
    with pytest.raises(PipelineError, match="Give `--frame-rate-hz`"):
        deconvolve(tmp_path / "a.npy", "--output", tmp_path / "out.h5", "--decay-time-s", 0.6)
    with pytest.raises(PipelineError, match=r"out\.txt"):
        deconvolve(tmp_path / "a.npy", "--output", tmp_path / "out.txt", "--decay-time-s", 0.6, "--frame-rate-hz", 30)
    with pytest.raises(PipelineError, match="ordr"):
        deconvolve(
            tmp_path / "a.npy",
            "--output",
            tmp_path / "o.h5",
            "--decay-time-s",
            0.6,
            "--frame-rate-hz",
            30,
            "--settings",
            '{"ordr": 1}',
        )


def test_only_a_first_column_is_taken_for_a_clock(tmp_path, lively):
    """A trace further on may rise all the time, as one that bleaches the other way round."""
    (tmp_path / "a.csv").write_text(table_text([lively[0], np.arange(40) * 0.5], "a,b"))
    found = read(tmp_path / "a.csv")
    assert found.names == ("a", "b")
    np.testing.assert_allclose(found.traces[1], np.arange(40) * 0.5)
