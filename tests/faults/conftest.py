"""Counts the cases that the fault tests try, and prints them as a table at the end of the run.

``make faults`` runs all of them; ``pytest -m "" tests/faults --pages`` also writes the table into ``book/faults.md``.
"""

import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "book" / "faults.md"
BEGIN = time.monotonic()
_TABLE: dict[str, list[int]] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pages", action="store_true", help="write the table of cases into book/faults.md")


@pytest.fixture
def tried() -> Callable[[str, bool], None]:
    """A function that counts one case of a kind, and whether it went as it should; the test itself asserts that."""

    def count(kind: str, good: bool) -> None:
        row = _TABLE.setdefault(kind, [0, 0])
        row[0] += 1
        row[1] += not good

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    if not _TABLE:
        return
    times = os.times()
    spent = times.user + times.system + times.children_user + times.children_system
    rows = [*_TABLE.items(), ("in all", [sum(column) for column in zip(*_TABLE.values(), strict=True)])]
    said = (
        f"{time.monotonic() - BEGIN:.0f} s on {os.cpu_count()} cores, {spent:.0f} s of processor time; "
        f"Python {platform.python_version()}, {platform.system()}."
    )
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'what was tried':76} {'cases':>7} {'failures':>9}")
    for kind, (cases, failures) in rows:
        terminalreporter.write_line(f"{kind:76} {cases:>7,} {failures:>9,}")
    terminalreporter.write_line(said)
    if config.getoption("--pages", default=False):
        passed, failed, skipped = (len(terminalreporter.stats.get(k, [])) for k in ("passed", "failed", "skipped"))
        lines = ["| what was tried | cases | failures |", "|---|---|---|"]
        lines += [f"| {kind} | {cases:,} | {failures:,} |" for kind, (cases, failures) in rows]
        lines += ["", f"{passed} tests passed, {failed} failed, {skipped} were skipped; {said}"]
        block = re.compile(r"(<!-- faults -->\n).*?(<!-- end -->)", re.DOTALL)
        page = PAGE.read_text(encoding="utf-8")
        text = "\n".join(lines)
        PAGE.write_text(block.sub(lambda m: f"{m[1]}\n{text}\n\n{m[2]}", page), encoding="utf-8")
