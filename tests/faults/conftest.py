"""Counts the cases that the fault tests try, and prints them as a table at the end of the run.

``make faults`` runs all of them; ``pytest -m "" tests/faults --pages`` also writes the table into ``book/faults.md``.
"""

import itertools
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "book" / "faults.md"
BEGIN = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pages", action="store_true", help="write the table of cases into book/faults.md")


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Callable[[str, bool], None]:
    """A function that counts one case of a kind, and whether it went as it should; the test itself asserts that."""
    table: dict[str, list[int]] = {}
    request.node.user_properties.append(("tried", table))  # which the report of the test has, in whatever process

    def count(kind: str, good: bool) -> None:
        row = table.setdefault(kind, [0, 0])
        row[0] += 1
        row[1] += not good

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    tables: dict[str, list[list[int]]] = {}
    for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
        if getattr(report, "when", "") == "call":
            for table in (value for name, value in report.user_properties if name == "tried"):
                for kind, row in table.items():
                    tables.setdefault(kind, []).append(row)
    if not tables:
        return
    counts = [(kind, [sum(column) for column in zip(*found, strict=True)]) for kind, found in tables.items()]
    times = os.times()
    spent = times.user + times.system + times.children_user + times.children_system
    rows = [*counts, ("in all", [sum(column) for column in zip(*(row for _, row in counts), strict=True)])]
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
        lines = ["| what was tried | cases | failures |", "|---|--:|--:|"]
        lines += [f"| {kind} | {cases:,} | {failures:,} |" for kind, (cases, failures) in rows]
        lines += ["", f"{passed} tests passed, {failed} failed, {skipped} were skipped; {said}"]
        block = re.compile(r"(<!-- faults -->\n).*?(<!-- end -->)", re.DOTALL)
        page = PAGE.read_text(encoding="utf-8")
        text = "\n".join(lines)
        PAGE.write_text(block.sub(lambda m: f"{m[1]}\n{text}\n\n{m[2]}", page), encoding="utf-8")
