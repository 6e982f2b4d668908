"""The command line: ``python -m lib ...``.

Exit status: 0 if all is well, 1 if something checked is not, 2 for input that cannot be used, 3 for an error that
was not foreseen, 141 if what reads the output, such as ``head``, has enough of it.
"""

import argparse
import json
import os
import re
import select
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lib.errors import UserError

if TYPE_CHECKING:
    from lib.experiments import Experiment
    from lib.tickets import Store


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        status = options.command(options)
        sys.stdout.flush()
        return status
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            return 141
        if options.debug:
            raise
        print(f"{Path(sys.argv[0]).parent.name or 'lib'}: {_sentence(error)}", file=sys.stderr)
        return 2 if isinstance(error, UserError | OSError) else 3
    except KeyboardInterrupt:
        print("stopped; what was finished is stored", file=sys.stderr)
        return 130


def _reader_is_gone() -> bool:
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False  # another pipe broke, such as one to a process that trains
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python still writes when it ends
    return True


def _sentence(error: Exception) -> str:
    """Return what a user reads of an error."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    # A chapter's error holds the traceback of its cell.
    name, value = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", str(error))
    notes = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
    return f"{name}: {' '.join(value.split())[:300]}{notes} (this was not foreseen; --debug shows where)"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lib", description="The winning-tickets book.")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: object, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(command=function)
        return sub

    def precision(sub: argparse.ArgumentParser) -> None:
        precisions = ("fp32", "tf32", "bf16")
        sub.add_argument(
            "--precision",
            choices=precisions,
            help="default: as levels before, if this device can train like theirs; else tf32 on a GPU, fp32 on a CPU",
        )

    sub = command("experiments", _experiments, "list the experiments and what is trained of them")
    precision(sub)
    sub.add_argument("--tickets", type=Path, metavar="DIR", help="the store (default: data/tickets)")

    sub = command("train", _train, "train what is missing of an experiment, level by level")
    sub.add_argument("names", nargs="+", metavar="NAME", help="experiment, such as a/fashion-lenet/free")
    sub.add_argument(
        "--trials", type=int, metavar="N", help="only the first N initialisations (default: all); the book says so"
    )
    sub.add_argument("--data", type=Path, metavar="DIR", help="folder of the images (default: $LOTTERY_DATA)")
    sub.add_argument("--tickets", type=Path, metavar="DIR", help="the store (default: data/tickets)")
    sub.add_argument("--out", type=Path, metavar="DIR", help="where new levels go (default: the store)")
    sub.add_argument("--budget", metavar="TIME", help="stop cleanly before so much time is over, such as 500s or 10m")
    sub.add_argument("--device", choices=("cpu", "cuda"), help="default: a CUDA GPU if there is one")
    sub.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes on a CPU (default: one a core, or so many that no core waits for the last)",
    )
    precision(sub)
    sub.add_argument("--quiet", action="store_true", help="no progress bar")

    sub = command("import", _import, "verify levels that train --out wrote and add them to the store")
    sub.add_argument("folder", type=Path, metavar="DIR", help="what train --out wrote")
    sub.add_argument("--tickets", type=Path, metavar="DIR", help="the store (default: data/tickets)")

    sub = command("verify", _verify, "check every stored ticket file")
    sub.add_argument("names", nargs="*", metavar="NAME", help="experiments (default: all that are stored)")
    sub.add_argument("--tickets", type=Path, metavar="DIR", help="the store (default: data/tickets)")

    sub = command("claims", _claims, "print the ledger: what the papers say, what was measured, the verdict")
    sub.add_argument("--paper", choices=("A", "B"))
    sub.add_argument("--section", metavar="S", help="such as 3.1 or 'Appendix A'")
    sub.add_argument("--format", choices=("text", "json"), default="text")
    sub.add_argument("--tickets", type=Path, metavar="DIR", help="the store (default: data/tickets)")

    sub = command("run", _run, "execute a chapter with other parameters, into a folder of its own, and compare")
    sub.add_argument("chapter", metavar="CHAPTER", help="such as a/3.1")
    sub.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="may be repeated; several numbers with commas between, or the same name again, are a sweep",
    )
    sub.add_argument("--out", type=Path, metavar="DIR", help="default: runs/CHAPTER with the parameters in its name")
    sub.add_argument("--dry-run", action="store_true", help="only say what would be executed, and why")
    sub.add_argument("--quiet", action="store_true", help="no progress bar")

    sub = command("compare", _compare, "say which claims of a run have another verdict than in the book; make its page")
    sub.add_argument("run", type=Path, metavar="RUN", help="the folder of a run, such as runs/a-3.1-level=0.9")

    command("readme", _readme, "write the state of the ledger and one figure into README.md")

    sub = command("build", _build, "execute the chapters whose inputs changed and build the HTML")
    sub.add_argument("--dry-run", action="store_true", help="only say what would be executed, and why")
    sub.add_argument("--quiet", action="store_true", help="no progress bar")

    sub = command("pdf", _pdf, "print the built book as one PDF (needs Chromium)")
    sub.add_argument("--out", type=Path, metavar="FILE", help="default: runs/winning-tickets.pdf")

    sub = command("screenshots", _screenshots, "take pictures of all pages of the built book, to look at")
    sub.add_argument("--out", type=Path, metavar="DIR", help="default: runs/screenshots")
    sub.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _experiments(options: argparse.Namespace) -> int:
    from lib.experiments import EXPERIMENTS, trials

    store = _store(options)
    try:
        from lib import training
    except ImportError:  # torch is not installed, so nothing can be trained here
        training = None  # type: ignore[assignment]
    print(f"{'experiment':32} {'state':8} {'levels':>7} {'networks':>9} {'million samples':>16} {'here, about':>12}")
    damaged, every, all_seconds = 0, list(EXPERIMENTS.values()), 0.0
    for name, experiment in EXPERIMENTS.items():
        try:
            held = store.find(name)
            store.finished(held)
            begun = {part: len(store.finished(part)) for part in store.held(name) if part not in store.parts(held)}
        except UserError as error:
            print(f"{name:32} damaged  {error}")
            damaged = 1
            continue
        done, all_levels = len(store.finished(held)), len(experiment.levels)
        state = "trained" if done == all_levels and held == experiment else "partly" if done else "missing"
        networks = f"{held.replicas} of {experiment.replicas}" if held != experiment else experiment.replicas
        samples = experiment.samples() / 1e6
        time_here = "-"
        if training:
            usual = training.usual_precision(experiment, training.usual_device(), store)
            seconds = training.seconds(experiment, precision=options.precision or usual)
            time_here, all_seconds = _duration(seconds), all_seconds + seconds
        print(f"{name:32} {state:8} {done:>3} / {all_levels:<2} {networks:>8} {samples:>16.1f} {time_here:>12}")
        for part, done in begun.items():  # they count once all their levels are trained
            print(f"  {trials(part):30} {'begun':8} {done:>3} / {all_levels:<2} {part.replicas:>8}")
    if not damaged:
        networks, samples = sum(e.replicas for e in every), sum(e.samples() for e in every) / 1e6
        time_here = _duration(all_seconds) if training else "-"
        print(f"{'all of them, from nothing':41} {'':>8} {networks:>8} {samples:>16.1f} {time_here:>12}")
    return damaged


def _duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for name, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"


def _train(options: argparse.Namespace) -> int:
    from lib import datasets
    from lib.experiments import find

    begun = time.monotonic()
    wanted = [find(name) for name in options.names]
    if options.trials is not None:
        for each in wanted:
            if not 1 <= options.trials <= each.inits:
                raise UserError(
                    f"--trials is {options.trials}: {each.name} has {each.inits} initialisations, so it should be a "
                    f"whole number from 1 to {each.inits}"
                )
        wanted = [each.first(options.trials) for each in wanted]
    if options.workers is not None and options.workers < 1:
        raise UserError(f"--workers is {options.workers}: it should be at least 1")
    try:
        from lib import training
        from lib.tickets import Store
    except ImportError as error:
        raise UserError(
            f"training needs torch, which is not installed ({error}): pip install -r requirements.txt"
        ) from error
    deadline = None if options.budget is None else begun + _seconds(options.budget)
    store = _store(options)
    out = Store(options.out) if options.out else store
    for experiment in (part for each in wanted for part in training.parts(each, store, out)):
        if not training.missing_levels(experiment, store, out):
            out.clean(experiment)
            print(f"{experiment.name}: all {len(experiment.levels)} levels are {_trained(experiment)}")
            continue
        images = datasets.load(experiment.dataset, options.data)
        whole = training.train(
            experiment,
            images,
            store,
            options.device,
            options.workers,
            options.quiet,
            out,
            deadline,
            options.precision,
        )
        if not whole:
            left = len(training.missing_levels(experiment, store, out))
            print(f"{experiment.name}: the time is up, {left} of {len(experiment.levels)} levels are missing")
            return 0
        print(f"{experiment.name}: {_trained(experiment)}; its tickets are in {out.folder(experiment)}")
    return 0


def _trained(experiment: "Experiment") -> str:
    """Return the word 'trained', and how many of the experiment's initialisations if not all."""
    from lib.experiments import trials

    said = trials(experiment)
    return f"trained ({said})" if said else "trained"


def _seconds(text: str) -> float:
    """Return the seconds that a text such as 500s, 10m or 2h means."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or float(match[1]) == 0:
        raise UserError(f"--budget is {text!r}: it should be a positive time such as 500s, 10m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _import(options: argparse.Namespace) -> int:
    from lib.experiments import EXPERIMENTS, trials
    from lib.tickets import Store

    if not options.folder.is_dir():
        raise UserError(f"DIR is {options.folder}: there is no such folder")
    store, other = _store(options), Store(options.folder)
    parts = [part for name in EXPERIMENTS for part in other.held(name)]
    if not parts:
        raise UserError(f"{options.folder}: holds no experiment; python -m lib train NAME --out DIR makes one")
    status = 0
    for experiment in parts:
        try:
            had = set(store.manifest(experiment)["levels"])
            try:
                store.adopt(other, experiment)
            finally:
                now = store.manifest(experiment)["levels"]
                added = [y.name for y in experiment.levels if y.name in now and y.name not in had]
                which = f" ({trials(experiment)})" if experiment.after else ""
                print(f"{experiment.name}{which}: {'added ' + ', '.join(added) if added else 'nothing new'}")
        except UserError as error:  # the others may be whole
            print(f"lib: {error}", file=sys.stderr)
            status = 2
    return status


def _verify(options: argparse.Namespace) -> int:
    from lib.experiments import EXPERIMENTS, trials

    store = _store(options)
    # Of what is named and not stored, it is said that it is missing.
    held = {
        name: store.held(name) or [store.find(name)] * (name in options.names) for name in options.names or EXPERIMENTS
    }
    experiments, strays = [part for parts in held.values() for part in parts], store.strays(options.names)
    if not experiments and not strays:
        raise UserError(f"{store.root}: holds no experiment; python -m lib train NAME trains one")
    print(f"{'experiment':32} {'tickets':>7} x {'levels':6}  {'level':>6}  {'bytes':>10}  sha256")
    failed = False
    for experiment in experiments:
        whole, problems = store.verify(experiment)
        pruned = [name for name in whole if name != "dense"]
        said = trials(experiment)
        print(f"{experiment.name:32} {experiment.replicas:>7} x {len(pruned):<6}{f'  {said}' if said else ''}")
        for name in whole:
            entry = store.manifest(experiment)["levels"][name]
            print(f"{'':50} {name:>6}  {entry['bytes']:>10,}  {entry['sha256'][:16]}  whole")
        # What comes after the last stored level of an experiment that is begun is no stored file with a fault.
        names = [level.name for level in experiment.levels]
        stored = [number for number, name in enumerate(names) if name in whole]
        later = names[stored[-1] + 1 :] if stored else []
        for problem in problems:
            waits = problem.what == "missing" and problem.level in later
            failed |= not waits
            print(f"{'':50} {problem.level:>6}  {'':>10}  {'not trained yet' if waits else problem.what}")
    for stray in strays:
        print(f"{stray}: no manifest names it")
    return 1 if failed or strays else 0


def _claims(options: argparse.Namespace) -> int:
    from lib import claims, scoring

    scored = scoring.score_all(options.paper, options.section, _store(options))
    if options.format == "json":
        print(json.dumps(claims.rows(scored), indent=1))
    else:
        print(claims.text_table(scored))
        print(", ".join(f"{count} {verdict}" for verdict, count in claims.summary(scored).items() if count))
    return 0


def _run(options: argparse.Namespace) -> int:
    from lib import build, runs

    values = runs.combinations(options.chapter, options.parameter)
    out = options.out or runs.folder(options.chapter, options.parameter)
    if options.dry_run:
        due = build.due(runs.jobs(options.chapter, values, out))
        print(f"{len(due)} of {len(values) + 1} executions would be made, the book's own included")
        for job in due:
            print(f"{job.name}: {job.why}")
        return 0
    return _show_comparison(*runs.run(options.chapter, values, out, options.quiet))


def _compare(options: argparse.Namespace) -> int:
    from lib import runs

    return _show_comparison(*runs.compare(options.run))


def _show_comparison(page: Path, changed: dict[str, list[str]]) -> int:
    for claim, (book, *others) in changed.items():
        print(f"{claim}: {book} in the book, {', '.join(others)} here")
    print(f"{len(changed)} claims have another verdict than in the book. Open {page}")
    return 0


def _readme(options: argparse.Namespace) -> int:
    from lib import build, files, pages

    readme = build.ROOT / "README.md"
    text, figure = pages.readme(readme.read_text(encoding="utf-8"))
    files.write_whole(build.ROOT / "book" / "readme.png", figure)
    files.write_whole(readme, text.encode())
    return 0


def _build(options: argparse.Namespace) -> int:
    from lib import build

    if options.dry_run:
        print(build.plan())
    else:
        build.build(quiet=options.quiet)
    return 0


def _pdf(options: argparse.Namespace) -> int:
    from lib import browser, build

    made = browser.pdf(options.out or build.ROOT / "runs" / "winning-tickets.pdf")
    print(f"The book is printed: {made}, {made.stat().st_size / 1e6:.1f} MB")
    return 0


def _screenshots(options: argparse.Namespace) -> int:
    from lib import browser, build

    out = options.out or build.ROOT / "runs" / "screenshots"
    print(f"{len(browser.screenshots(out, options.quiet))} pictures are in {out}")
    return 0


def _store(options: argparse.Namespace) -> "Store":
    from lib.tickets import DEFAULT_ROOT, Store  # late, so that --help is quick

    return Store(options.tickets or DEFAULT_ROOT)
