"""The grammar of a spec file, as types: what each key may hold. `vitab schema` prints it as JSON Schema.

Free mappings (`base`, factors, a row's trial fields) are typed as `Any` here and checked against the trial's own
schema by `ablations/fields.py`, which knows the model's knobs and the data set's options.
"""

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from ablations.conversion import Misfit, convert
from ablations.source import Document, Place
from bench import letters
from bench.trial import Frozen

T = TypeVar("T", bound=Frozen)

Positive = Annotated[int, Meta(ge=1)]
MOST_SEEDS = 1000
SeedCount = Annotated[int, Meta(ge=1, le=MOST_SEEDS)]
# `$` alone would let a line end stand behind a name; JavaScript, which reads the schema too, has no `\\Z`
Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$(?!\n)",
        max_length=80,
        description="text of letters, digits and _ . + - (at most 80, a letter or digit first)",
    ),
]
StudyName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_]*$(?!\n)",
        max_length=60,
        description="lower-case letters, digits and _ (at most 60, no _ first)",
    ),
]
Reason = Annotated[str, Meta(pattern=r"\S", description="text that says something")]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Seeds = SeedCount | list[Seed]
SEEDS: Any = Seeds  # as a value, which no type checker takes for a type


class Resources(Frozen):
    """What one trial may use; no part of a key. A trial ends after `timeout_min` wherever it runs.

    All else is for Slurm jobs; the user's site file goes over it, and `--slurm` over both. A local worker has as many
    threads as `execution.threads` says, and a GPU of its own where there is one. Lines of shell, such as `module load`,
    stand in the user's site file alone: a spec is read, never run.
    """

    cpus: Positive = 1
    gpus: Annotated[int, Meta(ge=0)] = 0
    memory_gb: Annotated[float, Meta(gt=0)] | None = None
    timeout_min: Annotated[float, Meta(gt=0)] | None = None
    partition: letters.Name | None = None
    account: letters.Name | None = None
    qos: letters.Name | None = None
    constraint: letters.Expression | None = None  # features of nodes
    exclude: letters.Expression | None = None  # nodes
    comment: letters.Text | None = None


class Paper(Frozen):
    """Where a table was published, or the numbers that make one."""

    title: str
    table: str | None = None  # "Table 1"
    authors: str | None = None
    venue: str | None = None
    year: int | None = None
    arxiv: str | None = None


class DeclaredQuantity(Frozen):
    """A quantity that no measure here produces: its cells say what they need, and carry what was reported."""

    unit: str
    better: Literal["higher", "lower"] | None = None
    label: str | None = None
    needs: Reason | None = None  # why it is not measured


class ReportedClaim(Frozen):
    """One reported number, where the plain text is not enough."""

    printed: str
    source: str | None = None  # None: the table's own
    protocol: str | None = None  # what it meant, where that differs from the table's: hardware, crop, views
    comparable: Reason | None = None  # why it cannot be compared with what is measured here
    printed_by: Literal["rounding", "truncation"] | None = None
    note: str | None = None


class Explanation(Frozen):
    """A second computation that may yield the printed number; prose alone explains nothing.

    Either the cell's trial with some fields changed, another quantity of it, or both; or the number in another place
    that this one was copied from.
    """

    note: Reason  # what is computed: "ViT-L/32", "without the classifier head"
    set: dict[str, Any] = {}
    quantity: str | None = None  # None: the cell's own
    copied: str | None = None  # as printed in the place that `note` names


class LevelHead(Frozen):
    """What a level says where it says more than its value."""

    id: str | int | float | None = None  # None: its value
    label: str | None = None
    value: Any = None  # of the factor's field, where the key is there
    set: dict[str, Any] = {}


class BestOf(Frozen):
    """A nuisance axis, reduced by its best on the selection split."""

    by: str  # the quantity that chooses, measured on the selection split
    over: dict[str, list[Any]]


class Design(Frozen):
    """Which rows there are. Listed kinds stand below one another in the order of the file."""

    rows: list[dict[str, Any]] = []
    one_factor: dict[str, list[Any]] = {}
    leave_one_out: dict[str, Any] = {}
    ladder: list[dict[str, Any]] = []
    factorial: dict[str, list[Any]] = {}
    zip: dict[str, list[Any]] = {}
    exclude: list[dict[str, Any]] = []
    best_of: BestOf | None = None


class RowHead(Frozen):
    """What a listed row says beside the fields of its trial."""

    id: Name
    label: str | None = None
    group: str | None = None
    facts: dict[str, Any] = {}  # text for fact columns: pre-training, method
    reported: dict[str, Any] = {}  # column → claim, or claims
    explain: dict[str, Explanation] = {}  # column → second computation
    notes: dict[str, str] | list[str] = []  # under the table; by column, or of the row
    needs: dict[str, Reason] = {}  # column → why its cell is not measured
    quantity: str | None = None  # of every quantity column, in this row
    repeats: str | None = None  # the id of the row that this one shows again
    hidden: bool = False  # for edges only: no line in the table
    within: dict[str, dict[str, Any]] = {}  # column → fields that this row's trial has in that column alone


class ColumnHead(Frozen):
    """What a column says beside the fields that it sets on every row's trial."""

    quantity: str | None = None  # None: the column's own name
    label: str | None = None
    heads: list[str] = []  # spanning heads above, outermost first
    setting: str | None = None  # the named setting's base is applied to the row's trial
    field: str | None = None  # shows what the trial says here; measures nothing
    fact: str | None = None  # shows the row's fact of this name
    difference: bool | None = None  # beside the base row; None: where seeds matter and there is a base row
    spread: bool = True  # under a layout: once for every combination of levels; false: once a line, where all agree


class Layout(Frozen):
    """Factors that become columns instead of rows, outermost first."""

    columns: str | list[str]


class Setting(Frozen):
    """A variation of the same question: what it changes. A key that is not there changes nothing."""

    base: dict[str, Any] = {}
    design: dict[str, Any] = {}
    seeds: Seeds = 1
    columns: list[Any] = []
    resources: Resources = Resources()
    needs: dict[str, Reason] = {}
    reported: dict[str, Any] = {}
    comparable: Reason | None = None
    paper: Paper | None = None
    question: str | None = None
    title: str | None = None


class StudySpec(Frozen):
    """One spec file."""

    study: StudyName
    columns: list[Any] = []
    design: dict[str, Any] = {}
    base: dict[str, Any] = {}
    extends: str | None = None
    question: str | None = None
    title: str | None = None
    paper: Paper | None = None
    protocol: str | None = None  # what the reported numbers meant: input size, convention, hardware
    seeds: Seeds = 1
    layout: Layout | None = None
    settings: dict[str, dict[str, Any]] = {}
    resources: Resources = Resources()
    invalid: Literal["keep", "stop"] = "stop"
    quantities: dict[str, DeclaredQuantity] = {}
    needs: dict[str, Reason] = {}  # column or quantity → why its cells are not measured
    labels: dict[str, str] = {}  # factor, field or column → its name in the table; `row` → the head of the rows' names
    reported: dict[str, Any] = {}  # column → row → claims: what designs without listed rows were reported to yield
    comparable: Reason | None = None  # why nothing that was reported compares with what is measured here
    printed_by: dict[str, Literal["rounding", "truncation"]] = {}  # column → how the paper cut its numbers
    notes: list[str] = []


KINDS = tuple(name for name in Design.__struct_fields__ if name not in ("exclude", "best_of"))
"""Kinds of designs that make rows."""


def typed(document: Document, place: Place, value: Any, struct: type[T]) -> T:
    """A mapping of a document as a typed struct. Raises UserError at the part that is wrong."""
    try:
        return convert(value, struct)
    except Misfit as problem:
        inner = (*place, *problem.place)
        raise document.error(inner, problem.line(_called(inner))) from problem


def _called(place: Place) -> str:
    """What messages call a part of a spec: its key and the one around it, with the number in a list."""
    names: list[str] = []
    for step in place:
        if isinstance(step, int):
            names[-1] += f"[{step}]"
        else:
            names.append(step)
    return ".".join(names[-2:]) or "a spec"


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a spec file, for editors."""
    schema = msgspec.json.schema(StudySpec)
    definitions = schema["$defs"]
    _, more = msgspec.json.schema_components([Design, RowHead, ColumnHead, Setting], ref_template="#/$defs/{name}")
    definitions |= more
    study = definitions["StudySpec"]["properties"]
    study["design"] = {"$ref": "#/$defs/Design"}
    study["settings"] = {"type": "object", "additionalProperties": {"$ref": "#/$defs/Setting"}}
    study["columns"] = definitions["Setting"]["properties"]["columns"] = {
        "type": "array",
        "items": {
            "anyOf": [
                {"type": "string"},
                {"type": "object", "maxProperties": 1, "additionalProperties": {"$ref": "#/$defs/ColumnHead"}},
            ]
        },
    }
    definitions["Setting"]["properties"]["design"] = {"$ref": "#/$defs/Design"}
    definitions["Design"]["properties"]["rows"]["items"] = {"$ref": "#/$defs/RowHead"}
    for name in ("RowHead", "ColumnHead"):
        definitions[name]["additionalProperties"] = True  # fields of the trial
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "vitab study", **schema}
