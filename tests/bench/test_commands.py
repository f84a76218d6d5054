import pytest

from bench import commands
from bench.errors import Invalid, Needs, UserError
from bench.trial import Command

PLACES = {"seed": "3", "trial": "/t.json", "quantities": "/q", "checkpoints": "/c", "resume": "false"}


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """A function that writes the user's list of commands."""
    path = tmp_path / "commands.yaml"
    monkeypatch.setenv("VITAB_COMMANDS", str(path))

    def write(text):
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


def _filled(*words, **arguments):
    return commands.filled(words, Command(name="mine", arguments=arguments), PLACES)


def test_a_command_is_what_the_users_file_lists(listed, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    listed('mine: [python, ~/train.py, --lr, "{command.lr}"]\n')
    assert commands.registered("mine") == ["python", f"{tmp_path}/train.py", "--lr", "{command.lr}"]


def test_a_command_that_is_not_listed_is_a_need_with_the_nearest(listed):
    path = commands.file()
    with pytest.raises(Needs, match=rf"^the command 'mine', registered in {path}$"):
        commands.registered("mine")
    listed("mine: [python]\n")
    with pytest.raises(Needs, match=r"^no command 'mien'; nearest: 'mine'"):
        commands.registered("mien")


@pytest.mark.parametrize(
    "text", ["mine: python train.py\n", "mine: [python, 3]\n", "[mine]\n", "mine: []\n", "a: [\n", 'mine: ["{seed}"]\n']
)
def test_a_list_that_is_none_is_one_line(listed, text):
    path = listed(text)
    with pytest.raises(UserError) as problem:
        commands.registered("mine")
    assert str(problem.value).startswith(f"{path}: ")
    assert "\n" not in str(problem.value)


def test_a_list_that_others_may_write_is_refused(listed):
    listed("mine: [python]\n").chmod(0o666)
    with pytest.raises(UserError, match="others may write"):
        commands.registered("mine")


def test_places_are_filled_word_by_word():
    words = ["go", "{arguments}", "--seed={seed}", "{trial}", "{quantities}", "{checkpoints}", "{resume}"]
    expected = ["go", "--hidden=64", "--name=a b; rm $x", "--seed=3", "/t.json", "/q", "/c", "false"]
    assert _filled(*words, hidden=64, name="a b; rm $x") == expected
    assert _filled("go", "--lr", "{command.lr}", "--on={command.on}", lr=-0.5, on=True) == [
        "go",
        "--lr",
        "-0.5",
        "--on=true",
    ]


@pytest.mark.parametrize(
    ("words", "arguments", "said"),
    [
        (["go", "{command.lr}"], {}, "mine wants command.lr, which the trial does not say"),
        (["go", "{sed}"], {}, "mine: no place '{sed}'; nearest: '{seed}'"),
        (["go", "{command.lr}"], {"lr": 1, "lrr": 2}, "mine takes no argument 'lrr': no place of it in "),
        (["go", "{command.name}"], {"name": "--out=x"}, "mine: '--out=x' would be an option; write --NAME="),
        (["go", "{arguments}", "--out", "{quantities}"], {"out": "x"}, "mine: --out is set in "),
        (["go", "--a={command.a}"], {"a": "b\0"}, "mine: '--a=b\\x00' holds a zero byte"),
        (["go", "{arguments}"], {"a b": 1}, "mine: 'a b' is no name of an option"),
    ],
)
def test_an_argument_that_goes_nowhere_or_astray_is_refused(words, arguments, said):
    with pytest.raises(Invalid) as problem:
        _filled(*words, **arguments)
    assert str(problem.value).startswith(said)


def test_what_a_spec_says_is_never_a_place():
    assert _filled("go", "--name={command.name}", name="{trial}") == ["go", "--name={trial}"]


def test_another_program_is_another_digest(tmp_path):
    program, interpreter = tmp_path / "train.py", tmp_path / "python"
    program.write_text("print(1)\n")
    interpreter.write_bytes(b"\x7fELF\0")
    words = [str(interpreter), str(program)]
    before = commands.digest(words)
    interpreter.write_bytes(b"\x7fELF\0\0")  # another node's
    assert commands.digest(words) == before
    program.write_text("print(2)\n")
    assert commands.digest(words) != before
    assert commands.digest([*words, "--fast"]) != commands.digest(words)
