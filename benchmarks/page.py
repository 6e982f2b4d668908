"""Writes measured tables into the book's page on performance."""

import re
from pathlib import Path

from lib.errors import UserError
from lib.files import write_whole

PAGE = Path(__file__).resolve().parent.parent / "book" / "performance.md"


def read(name: str) -> str:
    """Return what is between ``<!-- NAME -->`` and ``<!-- end -->``; raise `UserError` if there is no such place."""
    return _parts(name)[1].strip()


def write(name: str, text: str) -> None:
    """Put `text` between ``<!-- NAME -->`` and ``<!-- end -->``; raise `UserError` if the page has no such place."""
    before, _, after = _parts(name)
    write_whole(PAGE, f"{before}\n{text}\n\n{after}".encode())


def rule(words: int, numbers: int) -> str:
    """Return the line below the head of a table whose first columns hold words; numbers stand at the right."""
    return f"|{'---|' * words}{'--:|' * numbers}"


def _parts(name: str) -> tuple[str, str, str]:
    """Return the page up to the place's text, this text, and the rest."""
    page = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"(?<=<!-- {re.escape(name)} -->\n).*?(?=<!-- end -->)", page, re.DOTALL)
    if not found:
        raise UserError(f"name is {name!r}: {PAGE.name} has no line <!-- {name} --> with an <!-- end --> after it")
    return page[: found.start()], found[0], page[found.end() :]
