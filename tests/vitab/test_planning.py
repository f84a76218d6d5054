"""What a plan says beside its counts: how a row is built otherwise than it reads, and what is trained how often."""


def test_what_is_built_otherwise_than_it_reads_is_said_of_its_rows(call):
    said = call("plan", "window_size", "--setting", "imagenet")
    notes = [line for line in said.out.splitlines() if line.startswith("  note ")]
    joins = "is padded to whole windows; shifted windows join opposite borders"
    assert notes == [
        *(
            f"  note         7: stage {n}: the map of {side}×{side} {joins}"
            for n, side in enumerate((64, 32, 16, 8), 1)
        ),
        "  note         16: stage 4: the window is the whole map, 8×8, and is not shifted",
    ]
    rows = call("plan", "window_size", "--setting", "imagenet", "--json").json["studies"][0]["rows"]
    assert [len(row.get("notes", ())) for row in rows] == [0, 0, 4, 1]
    assert "notes" not in rows[0]


def test_rows_with_one_note_stand_in_one_line(call, here):
    (here / "s.yaml").write_text(
        "study: s\nbase: {model: {name: swin, image: 256}}\ncolumns: [params]\n"
        "design: {one_factor: {model.qkv_bias: [false]}}\n"
    )
    notes = [
        line.split(maxsplit=1)[1] for line in call("plan", "s.yaml").out.splitlines() if line.startswith("  note ")
    ]
    assert len(notes) == 4
    assert all(note.startswith("on, off: stage") for note in notes)


def test_trainings_of_one_seed_are_not_called_seeds(call):
    assert "  to train     token, mean, map (3 trainings each)\n" in call("plan", "class_token").out
    assert "  to train     unshifted, base, padding (5 seeds each)\n" in call("plan", "window_shifting").out
