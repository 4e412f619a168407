"""The parameter file and the parameter table say what the node declares."""

from __future__ import annotations

import dataclasses

import parameter_pages
import yaml

from sam3d_ros.node.parameters import NodeParameters


def test_the_file_is_the_one_that_parameters_py_gives() -> None:
    assert parameter_pages.YAML.read_text() == parameter_pages.yaml_text(), "run test/docs/parameter_pages.py"


def test_the_tables_are_those_that_the_dataclasses_give() -> None:
    page = parameter_pages.PAGE.read_text()
    assert page == parameter_pages.page_with_tables(page), "run test/docs/parameter_pages.py"


def test_the_file_holds_every_default_with_its_type() -> None:
    """Read as YAML, independently of how it was written: 20 for a double would stop the node."""
    values = yaml.safe_load(parameter_pages.YAML.read_text())["/**"]["ros__parameters"]
    expected = {f.metadata["name"]: f.default for f in dataclasses.fields(NodeParameters)} | {
        "autostart": True
    }
    assert values == expected
    assert {k: type(v) for k, v in values.items()} == {k: type(v) for k, v in expected.items()}


def test_every_description_is_there_in_words() -> None:
    text = " ".join(line.strip(" #") for line in parameter_pages.YAML.read_text().splitlines())
    for f in dataclasses.fields(NodeParameters):
        assert f.metadata["description"] in text
        assert len(f.metadata["description"]) > 10
