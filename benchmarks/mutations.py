"""Does a wrong library pass its tests?  Changes it in 30 random places, one at a time, and runs the module's tests.

``python benchmarks/mutations.py [--seed 7] [--count 30]`` prints each change with what became of it, and the score;
``--pages`` writes them into ``book/faults.md``.  `tests/test_mutations.py` demands that all of them are caught.
Each test that caught one has to pass on the library as it is.

A change is one of: another comparison, + for - or * for /, a number one larger, `and` for `or`, `not` before a
condition, True for False.  Text, type hints and the sentences of errors are left alone, as are bounds of memory and
time, `strict` of `zip`, and the -1 of `reshape`, for which NumPy takes any other negative number.
A change that makes no difference to any result cannot be caught; read those that survived.
"""

import argparse
import ast
import os
import random
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is loaded: threads do not survive a fork
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
sys.dont_write_bytecode = True
# What the tests import besides the library itself: loaded once, and there in every process that is forked.
import hypothesis.extra.numpy  # noqa: E402
import pytest  # noqa: E402
import scipy.stats  # noqa: E402, F401

# That a test fails is what counts, not the smallest example with which it does.
hypothesis.settings.register_profile(
    "first failure", deadline=None, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate], database=None
)

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "faults.md"
# The modules of metrics, pruning, baselines, statistics and verdict rules, with the tests that are theirs.
MODULES = {
    "overlap": "tests/test_overlap.py",
    "pruning": "tests/test_pruning.py",
    "baselines": "tests/test_baselines.py",
    "statistics": "tests/test_statistics.py",
    "claims": "tests/test_claims.py",
    "kernels": "tests/test_kernels.py",
    "topology": "tests/test_topology.py",
    "similarity": "tests/test_similarity.py",
}
# What decides memory and speed only, and what reads or words the ledger.
LEFT_ALONE = {"_BLOCK", "_MOST_MASKS", "_OUTSIDE", "_window", "_words"}
RULES = {"_range", "_around", "_threshold", "_chance", "_table_row", "_checks", "_effect", "_by_share", "_combine"}
RULES |= {"_inside", "_inside_chance", "_above_interval", "matches_chance", "above_chance", "figure_verdict", "judge"}

_COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
_OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}


class _Mutator(ast.NodeTransformer):
    """Counts the places that can be changed; changes the one with the number `target`."""

    def __init__(self, only: set[str] | None, target: int = -1) -> None:
        self.only, self.target = only, target
        self.count, self.what = 0, ""
        self.inside: list[str] = []

    def _here(self, node: ast.AST, what: str) -> bool:
        if self.only is not None and not self.only & set(self.inside):
            return False
        self.count += 1
        if self.count - 1 == self.target:
            self.what = f"line {node.lineno}: {what}"  # type: ignore[attr-defined]
            return True
        return False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if node.name in LEFT_ALONE:
            return node
        self.inside.append(node.name)
        node.body = [self.visit(child) for child in node.body]  # neither hints nor defaults
        self.inside.pop()
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        names = {t.id for t in node.targets if isinstance(t, ast.Name)}
        return node if names & LEFT_ALONE or not self.inside else self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return self.generic_visit(node) if self.inside else node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        return node if node.arg == "strict" else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "reshape":
            node.func = self.visit(node.func)
            node.args = [a if isinstance(a, ast.UnaryOp) else self.visit(a) for a in node.args]
            return node
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        other = _COMPARISONS.get(type(node.ops[0]))
        if other is not None and self._here(node, f"{ast.unparse(node)} becomes {other.__name__}"):
            node.ops[0] = other()
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        other = _OPERATORS.get(type(node.op))
        if other is not None and self._here(node, f"{ast.unparse(node)} becomes {other.__name__}"):
            node.op = other()
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self._here(node, f"{ast.unparse(node)}: and becomes or, or becomes and"):
            node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool):
            if self._here(node, f"{node.value} becomes {not node.value}"):
                return ast.copy_location(ast.Constant(not node.value), node)
        elif isinstance(node.value, int | float) and self._here(node, f"{node.value} becomes {node.value + 1}"):
            return ast.copy_location(ast.Constant(node.value + 1), node)
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        if self._here(node, f"if {ast.unparse(node.test)} becomes if not"):
            node.test = ast.UnaryOp(ast.Not(), node.test)
        return node


def mutated(module: str, number: int) -> tuple[str, str, int]:
    """Return the source with the change of this number, what it is, and how many changes there are."""
    tree = ast.parse((ROOT / "lib" / f"{module}.py").read_text(encoding="utf-8"))
    mutator = _Mutator(RULES if module == "claims" else None, number)
    changed = ast.fix_missing_locations(mutator.visit(tree))
    return ast.unparse(changed), mutator.what, mutator.count


class _First:
    """Notes the first test that fails, or the file that cannot even be imported."""

    failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or report.nodeid * report.failed

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.failed = self.failed or report.nodeid * report.failed


def _failing(tests: list[str], folder: str) -> str | None:
    """Return the first test that fails, or its file if it cannot be imported or runs for ever; None if all pass."""
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            signal.alarm(600)
            sink = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(sink, stream)
            os.chdir(folder)
            sys.path.insert(0, folder)
            first = _First()
            options = ["-q", "-x", "-p", "no:cacheprovider", "--hypothesis-profile", "first failure"]
            status = pytest.main([*options, *tests], [first])
            os.write(tell, first.failed.encode())
        finally:
            os._exit(status)
    os.close(tell)
    with open(told) as file:
        failed = file.read()
    return None if os.waitpid(pid, 0)[1] == 0 else failed or tests[0].partition("::")[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="Change the library in random places and see whether a test notices.")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--pages", action="store_true", help="write what became of them into book/faults.md")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    chosen = []
    for number in range(options.count):  # the modules in turn
        module = list(MODULES)[number % len(MODULES)]
        chosen.append((module, chance.randrange(mutated(module, -1)[2])))
    lines, survived = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for name in ("lib", "tests", "data/claims.yaml", "data/claims.sha256", "pyproject.toml", "book/rules.md"):
            source, place = ROOT / name, Path(folder) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, place) if source.is_dir() else shutil.copy(source, place)
        failing: dict[str, set[str]] = {}
        for module, number in chosen:
            path = Path(folder) / "lib" / f"{module}.py"
            original = path.read_text(encoding="utf-8")
            source, what, _ = mutated(module, number)
            path.write_text(source, encoding="utf-8")
            failed = _failing([MODULES[module]], folder)
            path.write_text(original, encoding="utf-8")
            survived += failed is None
            lines.append(f"{'SURVIVED' if failed is None else 'caught  '} {module}.py {what}")
            print(lines[-1], flush=True)
            if failed is not None:
                failing.setdefault(module, set()).add(failed)
        for module, tests in failing.items():  # without a change, what caught one has to pass
            file = MODULES[module]
            failed = _failing(sorted(tests - {file}) or [file], folder)
            if failed is not None:
                print(f"{failed} fails without any change", file=sys.stderr)
                return 2
    score = f"{options.count - survived} of {options.count} caught"
    print(score)
    if options.pages:
        page = PAGE.read_text(encoding="utf-8")
        told = "\n".join(["```text", *lines, score, "```"])
        block = re.compile(r"(<!-- mutations -->\n).*?(<!-- end -->)", re.DOTALL)
        PAGE.write_text(block.sub(lambda m: f"{m[1]}\n{told}\n\n{m[2]}", page), encoding="utf-8")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
