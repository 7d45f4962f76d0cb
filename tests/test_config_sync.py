"""What is written twice is held equal: config files and models, conda environment and package metadata."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from caiman_pipeline.config.generate import GENERATED, documented_keys, out_of_date
from caiman_pipeline.config.root import Config, load_config
from caiman_pipeline.config.sheet import load_sheet

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"snakemake": "snakemake-minimal", "opencv-python-headless": "py-opencv"}


@pytest.mark.parametrize("name", GENERATED)
def test_generated_file_agrees_with_the_models(name):
    assert (ROOT / name).read_text() == GENERATED[name](), "run `make config` and commit the result"


def test_out_of_date_names_the_file_that_was_edited(tmp_path):
    for name, write in GENERATED.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(write() + ("\n" if name.endswith(".json") else ""))
    assert out_of_date(tmp_path) == ["config/schema.json"]


def test_config_file_says_exactly_the_defaults():
    assert load_config(ROOT / "config/config.yaml") == Config()


def test_config_file_has_every_key():
    def leaves(values, prefix=""):
        for name, value in values.items():
            if isinstance(value, dict) and prefix != "kinds.":
                yield from leaves(value, f"{prefix}{name}.")
            else:
                yield prefix + name

    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert list(leaves(values)) == [name for name, _ in documented_keys(Config)]


def test_every_key_and_section_is_explained():
    for name, field in documented_keys(Config):
        assert field.description, f"`{name}` has no description"
        assert len(field.description) > 15, f"`{name}`: what does it mean?"
        assert field.description[0].isupper(), f"`{name}`: start the description with a capital"
        assert field.description.rstrip().endswith((".", "?")), f"`{name}`: end the description with a full stop"
        assert "TBD" not in field.description
    for name, section in Config.model_fields.items():
        about = section.annotation.__doc__ or ""
        assert len(about) > 15, f"section `{name}` has no description"


@pytest.mark.parametrize("path", sorted((ROOT / "config/examples").iterdir()), ids=lambda p: p.name)
def test_examples_are_valid(path):
    if path.suffix == ".yaml":
        assert load_config(path) != Config()
    elif path.suffix == ".tsv":
        assert len(load_sheet(path, Config())) > 1


def _requirement(text):
    found = re.match(r"\s*([A-Za-z0-9_.-]+)\s*((?:[<>=!~]=?\s*[^ ]+)?)", text)
    return found[1].lower().replace("_", "-"), found[2].replace(" ", "")


def _project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_conda_environment_has_the_package_requirements():
    wanted = dict(_requirement(r) for r in _project()["dependencies"])
    wanted = {CONDA_NAMES.get(name, name): bound for name, bound in wanted.items()}
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_pip = next(item["pip"] for item in listed if isinstance(item, dict))
    found = dict(_requirement(r) for r in [*(i for i in listed if isinstance(i, str)), *from_pip])
    assert found.pop("python") == _project()["requires-python"]
    assert found.pop("pip") == ""
    assert found == wanted


def test_constraints_pin_every_requirement_within_its_bounds():
    from packaging.requirements import Requirement

    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[name.lower().replace("_", "-")] = version
    extras = [r for group in _project()["optional-dependencies"].values() for r in group]
    for text in [*_project()["dependencies"], *extras]:
        requirement = Requirement(text)
        name = requirement.name.lower().replace("_", "-")
        assert name in pins, f"{name} is not pinned in constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{name}: pinned {pins[name]}, required {requirement}"


def test_the_changelog_has_one_dated_section_for_each_release():
    from caiman_pipeline import __version__

    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    released = headings[1:] if headings[0] == "Unreleased" else headings
    found = [re.fullmatch(r"(\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})", heading) for heading in released]
    assert all(found), f"a release is `## X.Y.Z - YYYY-MM-DD`: {released}"
    numbers = [tuple(map(int, f[1].split("."))) for f in found]
    assert numbers == sorted(set(numbers), reverse=True)
    assert [f[2] for f in found] == sorted((f[2] for f in found), reverse=True)
    # While it is not tagged, the version that is being made may be the first one.
    assert not found or found[0][1] == __version__


def test_images_hold_what_a_wheel_is_built_from():
    """Dockerfile and Apptainer recipe copy every file and folder that pyproject.toml puts into the wheel."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", *build["packages"], *build["force-include"]}
    docker = (ROOT / "Dockerfile").read_text()
    before_install = docker[: docker.index("RUN pip")]
    copied = {
        word.removeprefix("./")
        for line in re.findall(r"^COPY (.+)$", before_install, re.M)
        for word in line.split()[:-1]
    }
    assert copied >= needed
    recipe = (ROOT / "apptainer.def").read_text()
    assert set(re.findall(r"^    (\S+) /opt/caiman_pipeline", recipe, re.M)) >= needed
