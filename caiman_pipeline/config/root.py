"""The whole config, and what it means for one recording."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import field_validator

from caiman_pipeline.config.base import Count, Length, Section, key
from caiman_pipeline.config.evaluate import EvaluateSettings
from caiman_pipeline.config.export import ExportSettings
from caiman_pipeline.config.inspect import InspectSettings
from caiman_pipeline.config.kinds import KindSettings
from caiman_pipeline.config.merge import MergeSettings
from caiman_pipeline.config.motion import MotionSettings
from caiman_pipeline.config.patch_cnmf import PatchSettings
from caiman_pipeline.config.recording import REQUIRED, RecordingSettings
from caiman_pipeline.config.refine import RefineSettings
from caiman_pipeline.config.renamed import in_new_names
from caiman_pipeline.config.report import ReportSettings
from caiman_pipeline.config.select import SelectSettings
from caiman_pipeline.config.sessions import SessionsSettings
from caiman_pipeline.config.summary_images import ImageSettings
from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.config.validate import SectionType, validate
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.stages import ALL, keys_of


class PathSettings(Section):
    """Where things are; relative to the folder in which Snakemake runs."""

    recordings: str = key("config/recordings.tsv", "", "The recordings sheet, tab-separated.")
    results: str = key("results", "", "Folder for everything that the workflow writes.")
    keep_movie: bool = key(
        True, "", "Keep corrected movies, from which re-analysis starts; without, they go when a recording is done."
    )
    movie_store: str = key(
        "",
        "",
        "URL on an object store for corrected movies, like s3://bucket/movies; empty: in the results folder.",
    )

    @field_validator("movie_store")
    @classmethod
    def _a_url(cls, value: str) -> str:
        if value and not re.fullmatch(r"(s3|gs|az|file)://[A-Za-z0-9._/-]+", value):
            raise ValueError("a movie store is a URL like s3://bucket/folder (s3, gs, az or file), or empty")
        return value.rstrip("/")

    @field_validator("recordings", "results")
    @classmethod
    def _usable_in_rules(cls, value: str) -> str:
        if not value.strip() or set(value) & set("{}\n\t'\""):
            raise ValueError("a path here is not empty and has no braces, quotes or tabs")
        return value.rstrip("/") or value


class Config(Section):
    """Settings of the workflow, one section per stage."""

    paths: PathSettings = PathSettings()
    recording: RecordingSettings = RecordingSettings()
    inspect: InspectSettings = InspectSettings()
    motion: MotionSettings = MotionSettings()
    summary_images: ImageSettings = ImageSettings()
    patch_cnmf: PatchSettings = PatchSettings()
    merge: MergeSettings = MergeSettings()
    refine: RefineSettings = RefineSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    traces: TraceSettings = TraceSettings()
    select: SelectSettings = SelectSettings()
    export_nwb: ExportSettings = ExportSettings()
    report: ReportSettings = ReportSettings()
    sessions: SessionsSettings = SessionsSettings()
    kinds: KindSettings = KindSettings()

    def with_results(self, folder: str) -> Config:
        """Return this config with another folder of results.

        Parameters
        ----------
        folder : str
            The folder.

        Returns
        -------
        Config
            Else the same.
        """
        return self.model_copy(update={"paths": self.paths.model_copy(update={"results": folder})})


def load_config(source: Path | str | Mapping[str, Any]) -> Config:
    """Read and validate a config file, or a mapping such as Snakemake's ``config``.

    Parameters
    ----------
    source : path or dict
        A YAML file, or its values.

    Returns
    -------
    Config
        Checked, with defaults for what is not given.

    Raises
    ------
    PipelineError
        If it cannot be read or a key is unknown, of the wrong type or out of bounds.

    Examples
    --------
    >>> load_config({"motion": {"method": "rigid"}}).motion.method
    'rigid'
    """
    values, where = (source, "config") if isinstance(source, Mapping) else (_read_yaml(Path(source)), str(source))
    # A section that is named but left blank has its defaults.
    named = in_new_names({k: v for k, v in _plain(values).items() if v is not None}, where)
    return validate(Config, named, where)


def says_something(path: Path) -> bool:
    """Tell whether a config file is there and not blank, which Snakemake itself does not take.

    Parameters
    ----------
    path : path
        A YAML file.

    Returns
    -------
    bool
        False also where it is not there.

    Raises
    ------
    PipelineError
        If it cannot be read.
    """
    return path.exists() and bool(_read_yaml(path))


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        values = _UniqueKeysLoader(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise PipelineError(f"{path}: the config cannot be read ({error.strerror}).") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise PipelineError(f"{path}: not valid YAML ({line}{error.problem}).") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise PipelineError(f"{path}: not a readable YAML file ({' '.join(str(error).split())}).") from error
    if values is not None and not isinstance(values, dict):
        raise PipelineError(f"{path}: a config is a list of sections with keys, found {type(values).__name__}.")
    return values or {}


class _UniqueKeysLoader(yaml.SafeLoader):
    """YAML's safe loader, which would otherwise keep the last of two equal keys and drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for node_key, _ in node.value:
            name = str(node_key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key `{name}` appears twice", node_key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {str(k): _plain(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def resolve_stage(config: Config, stage: str) -> dict[str, Any]:
    """Return what a job of ``stage`` is handed, as plain values: the keys that it reads, lengths in pixels.

    Those of its own section are at the top, those of others below the section's name, facts below ``recording``.
    ``config`` is the recording's own (sheet values and overrides applied).

    Parameters
    ----------
    config : Config
        The recording's own, sheet values and overrides applied.
    stage : str
        Name of the stage's section.

    Returns
    -------
    dict
        Plain values, as a rule's ``params`` hold them.

    Raises
    ------
    PipelineError
        If a length cannot be turned into pixels.
    """
    own, reads = keys_of(stage)
    read = {section: _only(resolve_section(config, section), keys) for section, keys in reads.items()}
    return read.pop(own, {}) | {"recording": {}} | read


def resolve_section(config: Config, name: str) -> dict[str, Any]:
    """Return a section of a recording's config as plain values, lengths turned into pixels, here and only here.

    Durations that are counted in whole frames are those of the nearest frame: what comes to the same is the same.

    Raises
    ------
    PipelineError
        If a length cannot be turned into pixels.
    """
    section: Section = getattr(config, name)
    recording = config.recording
    if name == "recording":
        return _facts(recording)
    if problem := section.incomplete():
        raise PipelineError(f"`{name}.{problem}")
    values = section.model_dump(mode="json", exclude=section.unused())
    if recording.frame_rate_hz:
        values |= {duration: section.in_frames(duration, recording.frame_rate_hz) for duration in section.whole_frames}
    for key_name, value in section:
        if key_name in values and isinstance(value, Length | Count):
            try:
                values[key_name] = str(value.in_pixels(recording.pixel_um(), recording.cell_diameter))
            except ValueError as error:
                raise PipelineError(f"`{name}.{key_name}`: {error}.") from None
    return values


def _facts(recording: RecordingSettings) -> dict[str, Any]:
    try:
        return recording.facts()
    except ValueError as error:
        raise PipelineError(f"`recording.cell_diameter`: {error}.") from None


def _only(values: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return values if keys == ALL else {name: value for name, value in values.items() if name in keys}


def settings_for(config: Config, model: type[SectionType]) -> tuple[SectionType, RecordingSettings]:
    """Return a whole section and all facts on the recording, both in pixels.

    Parameters
    ----------
    config : Config
        The recording's own, sheet values and overrides applied.
    model : class
        Type of the section, like ``MotionSettings``.

    Returns
    -------
    settings : Section
        The section, lengths in pixels.
    recording : RecordingSettings
        What the stage needs to know.

    Raises
    ------
    PipelineError
        If a length cannot be turned into pixels.
    """
    section = validate(model, resolve_section(config, model.stage), "config")
    return section, validate(RecordingSettings, resolve_section(config, "recording"), "config.recording")


def check_required(recording: RecordingSettings, where: str) -> None:
    """Refuse facts without those that nothing can be computed without.

    Parameters
    ----------
    recording : RecordingSettings
        What is given.
    where : str
        Where it comes from, for the message.

    Raises
    ------
    PipelineError
        If some are missing; it names them all.
    """
    missing = [name for name in REQUIRED if getattr(recording, name) is None]
    if missing:
        raise PipelineError(
            f"{where}: {', '.join(f'`{m}`' for m in missing)} must be given, in a column of the sheet or under "
            "`recording:` in the config."
        )
