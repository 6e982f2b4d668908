"""Counts the cases that the fault tests try, and prints them as a table at the end of the run."""

from collections.abc import Callable

import pytest

_TABLE: dict[str, list[int]] = {}


@pytest.fixture
def tried() -> Callable[[str, bool], None]:
    """A function that counts one case of a kind, and whether it went as it should; the test itself asserts that."""

    def count(kind: str, good: bool) -> None:
        row = _TABLE.setdefault(kind, [0, 0])
        row[0] += 1
        row[1] += not good

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _TABLE:
        return
    terminalreporter.section("faults")
    rows = [*_TABLE.items(), ("in all", [sum(column) for column in zip(*_TABLE.values(), strict=True)])]
    terminalreporter.write_line(f"{'what was tried':76} {'cases':>7} {'failures':>9}")
    for kind, (cases, failures) in rows:
        terminalreporter.write_line(f"{kind:76} {cases:>7,} {failures:>9,}")
