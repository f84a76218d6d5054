"""YAML as data: the values that a text holds, where each stands, and everything that is refused, in one line."""

import pytest

from ablations.source import DEEPEST, LARGEST_BYTES, parse, read, scalar
from bench.errors import UserError


def value(text):
    return parse(text, name="y").value


def refusal(text):
    with pytest.raises(UserError) as raised:
        value(text)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on", "on"),  # YAML 1.1 would read true
        ("no", "no"),
        ("y", "y"),
        ("1e-3", 0.001),  # YAML 1.1 would read text
        ("1:30", "1:30"),  # YAML 1.1 would read ninety
        ("2021-11-21", "2021-11-21"),
        ("1_000", "1_000"),
        ("0o17", 15),
        ("0x1F", 31),
        ("-5", -5),
        ("+5", 5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1.5E+3", -1500.0),
        ("~", None),
        ("", None),
        ("null", None),
        ("True", True),
        ("FALSE", False),
        ("'5'", "5"),
        ('"null"', "null"),
        ("|\n    5\n", "5\n"),
        ("[1, [2, {b: 3}]]", [1, [2, {"b": 3}]]),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_values_are_those_of_yaml_1_2(text, expected):
    assert value(f"a: {text}") == {"a": expected}
    assert type(value(f"a: {text}")["a"]) is type(expected)


def test_what_was_reported_stays_as_it_was_printed():
    text = "reported: {a: 4.50, b: [007, 1e3], c: {printed: 80.0}, d: .inf, e: null, f: true}\nother: 4.50"
    reported = {"a": "4.50", "b": ["007", "1e3"], "c": {"printed": "80.0"}, "d": ".inf", "e": None, "f": "true"}
    assert value(text) == {"reported": reported, "other": 4.5}


def test_every_part_knows_where_it_stands():
    document = parse("a:\n  - 1\n  - b: 2\n    c: [x, y]\n", name="y")
    places = [(), ("a",), ("a", 0), ("a", 1), ("a", 1, "b"), ("a", 1, "c"), ("a", 1, "c", 1), ("a", 1, "z"), ("q",)]
    assert [document.where(place) for place in places] == [
        "y:1:1",
        "y:1:1",
        "y:2:5",
        "y:3:5",
        "y:3:5",
        "y:4:5",
        "y:4:12",
        "y:3:5",  # what is not there stands where it would
        "y:1:1",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "y: empty"),
        ("# nothing", "y: empty"),
        ("a: 1\na: 2", "y:2:1: key 'a' stands twice; first in line 1"),
        ("a: 1\n---\nb: 2", "y:2:1: a second document; a spec is one"),
        ("a: &x 1", "y:1:4: an anchor &x is not allowed in a spec; write it again"),
        ("a: *x", "y:1:4: an alias *x is not allowed in a spec; write it again"),
        (
            "a: !!python/name:os.system 1",
            "y:1:4: a tag 'tag:yaml.org,2002:python/name:os.system' is not allowed in a spec",
        ),
        ("<<: {a: 1}", "y:1:1: a merge key '<<' is not allowed; `extends:` takes another spec"),
        ("? [a]\n: b", "y:1:3: a key must be text"),
        ("a: 010", "y:1:4: 010 starts with a zero; write 10, or quote it"),
        ("a: .nan", "y:1:4: .nan is no value of a spec; numbers must be finite"),
        ("a: 1e400", "y:1:4: 1e400 is larger than any number here"),
        ("a: 9223372036854775808", "y:1:4: 9223372036854775808 is larger than any number here"),
        ("a: " + "9" * 5000, "y:1:4: 99999999999999999999… (5000 digits) is larger than any number here"),
        ("[" * 100_000, f"y:1:{DEEPEST + 1}: more than {DEEPEST} mappings and lists inside each other"),
        ("a: [1, 2\nb: 3", "y:2:2: YAML: a ',' or a closing bracket is missing here"),
        ("a: {", "y:2:1: YAML: a value or a closing bracket is missing here"),
        ("a: b: c", "y:1:5: YAML: a ':' where no key can stand; mend the indent, or quote text that holds ': '"),
        ("a:\n  b: 1\n c: 2", "y:3:2: YAML: this fits nothing above; mend the indent, the brackets or the quotes"),
        ("- a\nb: c", "y:2:1: YAML: this fits nothing above; a '-' is missing, or the indent is wrong"),
        ("a: 'x\nb: 1", "y:1:4: YAML: a quote that is never closed"),
        ("a: 1\nb\nc: 2", "y:2:1: YAML: a key without ':'"),
        ("a: @x", "y:1:4: YAML: no value can begin with this character; quote it"),
        ("a:\n\t- b", "y:2:1: YAML: a tab; indent with spaces"),
        ("a: x\x00", "y: not a text file (character 5 is a control character)"),
    ],
)
def test_what_a_spec_cannot_hold_is_one_line(text, said):
    assert refusal(text) == said


def test_a_file_that_is_no_text_is_one_line(tmp_path):
    path = tmp_path / "y.yaml"
    for content, said in [
        (b"a: gr\xf6\xdfe", "y: not a text file (byte 6 is no UTF-8)"),
        (b"a" * (LARGEST_BYTES + 1), "y: larger than 4 MB; no spec is"),
        (b"", "y: empty"),
    ]:
        path.write_bytes(content)
        with pytest.raises(UserError) as raised:
            read(path, name="y")
        assert str(raised.value) == said
    with pytest.raises(UserError, match=r"^y: no such file or directory$"):
        read(tmp_path / "none.yaml", name="y")
    with pytest.raises(UserError, match=r"^y: is a directory$"):
        read(tmp_path, name="y")


def test_a_byte_order_mark_and_windows_line_ends_are_no_matter():
    assert value("\ufeffa: 1\r\nb: 2\r\n") == {"a": 1, "b": 2}


@pytest.mark.parametrize(("text", "expected"), [("", None), ("  ", None), ("3", 3), ("[1, x]", [1, "x"]), ("'3'", "3")])
def test_one_value_is_read_as_it_would_stand_behind_a_key(text, expected):
    assert scalar(text, name="--set a") == expected
