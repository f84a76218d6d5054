"""One table in any form: the forms by name."""

from typing import Literal, get_args

from bench.errors import UserError, unknown
from reports.comma_separated import comma_separated
from reports.json_form import json_form
from reports.latex import latex
from reports.markdown import markdown
from reports.table import Table
from reports.web import web

Form = Literal["markdown", "latex", "csv", "json", "html"]
FORMS: tuple[Form, ...] = get_args(Form)


def render(table: Table, form: str = "markdown", *, reported_only: bool = False) -> str:
    """The text of a table, ending in a line feed.

    `reported_only` shows what was reported, as it is printed there, in the forms that people read; csv and json always
    hold everything. Raises UserError for a form that there is not.
    """
    if form in ("csv", "json"):
        return comma_separated(table) if form == "csv" else json_form(table)
    printers = {"markdown": markdown, "latex": latex, "html": web}
    if form not in printers:
        raise UserError(unknown("form", form, FORMS))
    return printers[form](table, reported_only=reported_only)
