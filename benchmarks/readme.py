"""A benchmark's table in the README, between two lines of comment that name it: `<!-- bench:NAME -->`."""

from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def write(name: str, table: str, readme: Path = README) -> None:
    """Put a table where the README has its place. Raises ValueError where it has none."""
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    text = readme.read_text(encoding="utf-8")
    before, opened, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"{readme} has no place for {name}: {begin} … {end}")
    readme.write_text(f"{before}{begin}\n{table.strip()}\n{end}{after}", encoding="utf-8")
