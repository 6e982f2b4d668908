"""Writes measured tables into the book's page on performance."""

import re
from pathlib import Path

from lib.errors import UserError
from lib.files import write_whole

PAGE = Path(__file__).resolve().parent.parent / "book" / "performance.md"


def write(name: str, text: str) -> None:
    """Put `text` between ``<!-- NAME -->`` and ``<!-- end -->``; raise `UserError` if the page has no such place."""
    page = PAGE.read_text(encoding="utf-8")
    block = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not block.search(page):
        raise UserError(f"name is {name!r}: {PAGE.name} has no line <!-- {name} --> with an <!-- end --> after it")
    write_whole(PAGE, block.sub(lambda m: f"{m[1]}\n{text}\n\n{m[2]}", page).encode())
