import re

import pytest


@pytest.fixture
def readme(script):
    return script("readme")


def test_a_table_goes_between_its_two_lines_and_nowhere_else(readme, tmp_path):
    file = tmp_path / "README.md"
    text = "# T\n<!-- bench:a -->\n{}<!-- /bench:a -->\nbetween\n<!-- bench:b -->\n{}<!-- /bench:b -->\nend\n"
    file.write_text(text.format("old\n", ""))
    readme.write("a", "| new |\n", file)
    readme.write("b", "| other |", file)
    readme.write("a", "| newer |", file)
    assert file.read_text() == text.format("| newer |\n", "| other |\n")


@pytest.mark.parametrize("text", ["# T\n", "# T\n<!-- bench:a -->\n"])
def test_a_readme_without_a_place_is_left_as_it_is(readme, tmp_path, text):
    file = tmp_path / "README.md"
    file.write_text(text)
    with pytest.raises(ValueError, match="has no place for a"):
        readme.write("a", "| new |", file)
    assert file.read_text() == text


def test_every_place_in_the_readme_has_its_end(readme):
    text = readme.README.read_text(encoding="utf-8")
    opened, closed = re.findall(r"<!-- bench:(\w+) -->", text), re.findall(r"<!-- /bench:(\w+) -->", text)
    assert "counting" in opened
    assert closed == opened == list(dict.fromkeys(opened))
