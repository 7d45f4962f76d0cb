from __future__ import annotations

import json

import jsonschema
import pytest
import yaml

from caiman_pipeline.config.generate import (
    bounds_of,
    config_yaml,
    documented_keys,
    generate,
    main,
    plain,
    schema_json,
    settings_page,
)
from caiman_pipeline.config.root import Config


def test_config_text_has_key_meaning_bounds_unit_and_default():
    lines = config_yaml().splitlines()
    at = lines.index("  min_frames: 50")
    assert lines[at - 1].startswith("  # Fewest frames")
    assert lines[at - 1].endswith("(integer, ≥ 2) [frames]")


def test_settings_page_has_a_row_for_every_key():
    page = settings_page()
    for name, _ in documented_keys(Config):
        section, leaf = name.split(".", 1)
        assert f"| `{leaf}` |" in page.split(f"## {section}\n")[1].split("\n## ")[0]


def test_schema_accepts_the_config_and_refuses_what_the_models_refuse():
    schema = json.loads(schema_json())
    jsonschema.validate(yaml.safe_load(config_yaml()), schema)
    for wrong in ({"inspect": {"min_frames": 1}}, {"inspekt": {}}, {"motion": {"max_shift": "12"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_defaults_are_written_so_that_they_are_read_back():
    assert yaml.safe_load(config_yaml()) == Config().model_dump(mode="json")


@pytest.mark.parametrize(
    ("value", "text"), [(None, "null"), (True, "true"), (0.5, "0.5"), ((0.25, 0.5), "[0.25, 0.5]"), ("a b", "a b")]
)
def test_values_are_plain_yaml(value, text):
    assert plain(value) == text


def test_bounds_are_told_in_words():
    keys = dict(documented_keys(Config))
    assert bounds_of(keys["inspect.max_bad_fraction"]) == "number, ≥ 0, ≤ 1"
    assert bounds_of(keys["recording.sex"]) == "`M` or `F` or `U` or `O`"
    assert bounds_of(keys["recording.cell_diameter"]) == "length"


def test_check_tells_what_is_out_of_date(tmp_path, capsys):
    assert main(["--folder", str(tmp_path), "--check"]) == 1
    assert "config/schema.json" in capsys.readouterr().err
    generate(tmp_path)
    assert main(["--folder", str(tmp_path), "--check"]) == 0
    (tmp_path / "config/config.yaml").write_text("edited")
    assert main(["--folder", str(tmp_path), "--check"]) == 1
    assert "config/config.yaml" in capsys.readouterr().err
