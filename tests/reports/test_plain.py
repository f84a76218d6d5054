"""Nothing that a library raised or somebody wrote reaches a terminal as anything but text."""

from hypothesis import given
from hypothesis import strategies as st

from reports.plain import plain, plain_lines
from reports.render import render

EVIL = "\x1b[2J\x07red\x9b31m\u202e\r\nnext\ttab"
TAMED = "[2Jred31m  next tab"

SPEC = r"""
question: "Why\e[31m?"
notes: ["a note\b\b\b"]
columns: [params, top1]
needs: {params: "a\e[1mthing"}
design:
  rows:
    - {id: a, label: "lab\eel", group: "gr\aoup", notes: ["row\e"], facts: {x: 1}, reported: {top1: {printed: "80", source: "s\ercle", note: "n\eo"}}}
"""  # noqa: E501


def test_controls_are_dropped_and_ends_of_lines_are_spaces():
    assert plain(EVIL) == TAMED
    assert plain("naïve – 81.3 ± 0.1 % · Δ, 日本, é, a b") == "naïve – 81.3 ± 0.1 % · Δ, 日本, é, a b"
    assert plain_lines("one\x1b\n  two\a\n") == "one\n  two\n"


@given(st.text())
def test_what_is_plain_is_printable_and_stays_so(text):
    said = plain(text)
    assert all(letter.isprintable() or letter.isspace() for letter in said)
    assert "\n" not in said
    assert plain(said) == said


def test_a_table_says_no_control_whatever_its_spec_and_its_failures_say(laboratory):
    lab = laboratory(SPEC)
    lab.failed(lab.works("a", "top1")[0], kind="crashed", reason=EVIL)
    table = lab.table()
    assert table.caption.startswith("Why[31m? ")
    assert table.rows[0].cells["top1"].reason == f"crashed: {TAMED}"
    for form in ("markdown", "latex", "csv", "json", "html"):
        text = render(table, form)
        assert all(letter.isprintable() or letter == "\n" for letter in text), form
        assert "\\u001b" not in text
