"""The command line: exit status, what is printed, and one sentence where input cannot be used."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made import made_images, made_store, tiny_experiment

import lib
from lib import claims, cli, tickets
from lib.experiments import EXPERIMENTS, find
from lib.files import sealed
from lib.tickets import Store

ROOT = Path(__file__).resolve().parent.parent
FASHION = "a/fashion-lenet/free"
EXPERIMENT = find(FASHION)
COMMANDS = ("experiments", "train", "import", "verify", "claims", "run", "compare", "build")


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    return made_store(tmp_path_factory.getbasetemp() / "independent", EXPERIMENT).root


@pytest.fixture
def tiny(monkeypatch):
    """A small experiment that is known by its name."""
    experiment = tiny_experiment()
    monkeypatch.setitem(EXPERIMENTS, experiment.name, experiment)
    return experiment


@pytest.fixture
def damaged(tiny, tmp_path):
    """A copy of a small store, with a function that damages one of its files."""
    store = made_store(tmp_path / "store", tiny)

    def flip(name):
        path = store.folder(tiny) / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
        return store.root

    return flip


def refused(capsys, *arguments):
    """Run a command that cannot be; return the sentence it leaves."""
    assert cli.main([str(a) for a in arguments]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    sentence = err.strip().splitlines()[-1]
    assert re.match(r"\w+: ", sentence)
    return sentence.split(": ", 1)[1]


# --- help ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: python -m lib {command}")
    options = re.findall(r"^  (-\S+)(.*)$", out, re.MULTILINE)
    assert options and options[0][0] == "-h,"


def test_the_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert [name for name in COMMANDS if not re.search(rf"^    {name}\b", out, re.MULTILINE)] == []


@pytest.mark.parametrize("arguments", [[], ["fly"], ["train"], ["claims", "--paper", "C"], ["run"]])
def test_a_wrong_command_line_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: python -m lib" in capsys.readouterr().err


# --- experiments and verify ----------------------------------------------------------------------------------


def states(out):
    lines = [line for line in out.splitlines()[1:] if not line.startswith("all of them")]
    return {line.split()[0]: line.split()[1:] for line in lines}


def test_the_table_of_experiments(whole, tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lib.training.seconds", lambda experiment, **_: experiment.samples() / 1e6)
    assert cli.main(["experiments", "--tickets", str(whole)]) == 0
    out = capsys.readouterr().out
    found = states(out)
    assert list(found) == list(EXPERIMENTS)
    networks, samples, minutes = re.fullmatch(
        r"all of them, from nothing +(\d+) +([\d.]+) +([\d.]+) min", out.splitlines()[-1]
    ).groups()
    assert int(networks) == sum(int(row[4]) for row in found.values())
    assert float(samples) == pytest.approx(sum(float(row[5]) for row in found.values()), abs=1.5)
    assert float(minutes) == pytest.approx(float(samples) / 60, abs=0.1)
    # 60,000 images x 15 epochs x 7 levels x 25 networks.
    assert found[FASHION] == ["trained", "7", "/", "7", "25", "157.5", "2.6", "min"]
    assert found[tiny.name][:4] == ["missing", "0", "/", "3"]
    made_store(tmp_path, tiny, levels=2)
    assert cli.main(["experiments", "--tickets", str(tmp_path)]) == 0
    found = states(capsys.readouterr().out)
    assert found[tiny.name] == ["partly", "2", "/", "3", "4", "1.4", "1", "s"]
    assert found[FASHION][0] == "missing"


def test_a_damaged_experiment_does_not_hide_the_others(damaged, tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lib.training.seconds", lambda *_, **__: 1.0)
    root = damaged("manifest.json")
    made_store(root, EXPERIMENT, levels=1)
    assert cli.main(["experiments", "--tickets", str(root)]) == 1
    found = states(capsys.readouterr().out)
    assert list(found) == list(EXPERIMENTS)
    assert found[tiny.name][0] == "damaged" and found[FASHION][0] == "partly"
    assert cli.main(["import", str(root), "--tickets", str(tmp_path / "here")]) == 2
    said = capsys.readouterr()
    assert f"{FASHION}: added dense" in said.out and f"{tiny.name}/manifest.json" in said.err


def test_what_was_added_before_a_damaged_level_is_said(damaged, tiny, tmp_path, capsys):
    assert cli.main(["import", str(damaged("80.npz")), "--tickets", str(tmp_path / "here")]) == 2
    said = capsys.readouterr()
    assert said.out == f"{tiny.name}: added dense, 50\n" and "80.npz: its SHA-256 is not" in said.err


def test_tickets_without_a_manifest_are_a_fault(tiny, tmp_path, capsys):
    store = made_store(tmp_path, tiny)
    (store.folder(tiny) / "manifest.json").unlink()
    assert cli.main(["verify", "--tickets", str(tmp_path)]) == 1
    assert f"{store.folder(tiny) / '50.npz'}: no manifest names it" in capsys.readouterr().out


def test_a_whole_store_verifies(whole, capsys):
    assert cli.main(["verify", "--tickets", str(whole)]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"^{FASHION} +25 x 6 *$", out, re.MULTILINE)
    rows = re.findall(r"^ +(\S+) +([\d,]+)  ([0-9a-f]{16})  whole$", out, re.MULTILINE)
    entries = Store(whole).manifest(EXPERIMENT)["levels"]
    assert rows == [
        (v.name, f"{entries[v.name]['bytes']:,}", entries[v.name]["sha256"][:16]) for v in EXPERIMENT.levels
    ]


def test_a_flipped_bit_is_status_1_and_names_the_file(damaged, tiny, capsys):
    root = damaged("50.npz")
    assert cli.main(["verify", "--tickets", str(root)]) == 1
    out = capsys.readouterr().out
    assert str(root / tiny.name / "50.npz") in out and "SHA-256" in out
    assert re.search(rf"^{tiny.name} +4 x 1 *$", out, re.MULTILINE)  # 80 % is still whole
    assert cli.main(["verify", tiny.name, "--tickets", str(root)]) == 1


def test_levels_that_are_not_trained_yet_are_no_fault_but_those_before_a_stored_one_are(tiny, tmp_path, capsys):
    store = made_store(tmp_path, tiny, levels=2)
    assert cli.main(["verify", "--tickets", str(tmp_path)]) == 0
    assert re.search(r"^ +80 +not trained yet$", capsys.readouterr().out, re.MULTILINE)
    (store.folder(tiny) / "80_masks.npz").write_bytes(b"half")
    assert cli.main(["verify", "--tickets", str(tmp_path)]) == 1
    made_store(tmp_path / "other", tiny)
    path = store.folder(tiny) / "manifest.json"
    manifest = json.loads((tmp_path / "other" / tiny.name / "manifest.json").read_text())
    del manifest["levels"]["50"]
    shutil.copytree(tmp_path / "other" / tiny.name, store.folder(tiny), dirs_exist_ok=True)
    path.write_bytes(sealed(manifest))
    capsys.readouterr()
    assert cli.main(["verify", tiny.name, "--tickets", str(tmp_path)]) == 1
    assert re.search(r"^ +50 +missing$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("initial weights sha256"),
        lambda m: m["levels"].update({"50": "50.npz"}),
        lambda m: m["levels"].update({"50": None}),
        lambda m: m["levels"]["50"].pop("sha256"),
        lambda m: m["levels"]["50"].update(bytes="many"),
        lambda m: m.update(fingerprint="0" * 16),
    ],
    ids=["no hash of initial weights", "an entry is text", "an entry is null", "no hash", "no size", "fingerprint"],
)
def test_a_manifest_that_was_changed_is_status_1(tiny, tmp_path, capsys, change):
    store = made_store(tmp_path, tiny)
    path = store.folder(tiny) / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_bytes(sealed(manifest))
    assert cli.main(["verify", "--tickets", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert "manifest" in out


def test_a_store_that_holds_nothing_is_a_sentence(tmp_path, capsys):
    assert f"{tmp_path}: holds no experiment" in refused(capsys, "verify", "--tickets", tmp_path)
    assert "experiment is 'a/b'" in refused(capsys, "verify", "a/b", "--tickets", tmp_path)


# --- claims --------------------------------------------------------------------------------------------------


def test_the_ledger_as_json(tmp_path, capsys):
    assert cli.main(["claims", "--format", "json", "--tickets", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    ledger = claims.load()
    assert len(rows) == len(ledger) and {row["id"] for row in rows} == set(ledger)
    for row in rows:
        claim = ledger[row["id"]]
        assert (row["paper"], row["section"], row["check"]) == (claim.paper, claim.section, claim.check)
        assert row["verdict"] in [str(v) for v in claims.Verdict]


def test_the_claims_of_one_section(whole, capsys):
    where = ["--paper", "A", "--section", "3.1", "--tickets", str(whole)]
    assert cli.main(["claims", "--format", "json", *where]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == [c.id for c in claims.load().values() if (c.paper, c.section) == ("A", "3.1")]
    assert cli.main(["claims", *where]) == 0
    *lines, summary = filter(None, capsys.readouterr().out.splitlines())
    assert [line.split()[0] for line in lines] == ["claim", *(row["id"] for row in rows)]
    assert max(len(line) for line in lines) <= 120
    for row, line in zip(rows, lines[1:], strict=True):
        assert row["verdict"] in line
    counted = {verdict: int(count) for count, verdict in re.findall(r"(\d+) ([a-z ]+)", summary)}
    assert counted == {v: sum(row["verdict"] == v for row in rows) for v in {row["verdict"] for row in rows}}


def test_a_section_that_does_not_exist_is_a_sentence(capsys, tmp_path):
    sentence = refused(capsys, "claims", "--section", "3.9", "--tickets", tmp_path)
    assert sentence.startswith("section is '3.9': the ledger has") and "3.1" in sentence


# --- train ---------------------------------------------------------------------------------------------------


def test_training_what_cannot_be_is_a_sentence(tiny, tmp_path, capsys, monkeypatch):
    def train(*arguments):
        return refused(capsys, "train", *arguments, "--tickets", tmp_path / "store", "--quiet")

    assert train("a/fashion-lenet/fre").startswith(
        "experiment is 'a/fashion-lenet/fre': known are a/fashion-lenet/free"
    )
    for workers in (0, -3):
        assert train(tiny.name, "--workers", workers) == f"--workers is {workers}: it should be at least 1"
    images = dataclasses.replace(tiny, dataset="cifar10")  # which nothing downloads
    monkeypatch.setitem(EXPERIMENTS, tiny.name, images)
    assert "cifar10" in train(tiny.name, "--data", tmp_path)
    assert not (tmp_path / "store").exists()


def test_training_without_torch_is_a_sentence(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "lib.training", raising=False)
    monkeypatch.delattr(lib, "training", raising=False)
    sentence = refused(capsys, "train", tiny.name, "--tickets", tmp_path)
    assert sentence.startswith("training needs torch, which is not installed") and "pip install" in sentence


def test_everything_but_training_works_without_torch(whole, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cli.main(["verify", "--tickets", str(whole)]) == 0
    assert cli.main(["claims", "--section", "Appendix A", "--tickets", str(whole)]) == 0


def test_what_is_trained_is_not_trained_again(whole, capsys):
    pytest.importorskip("torch")
    before = {path: path.read_bytes() for path in (whole / FASHION).iterdir()}
    assert cli.main(["train", FASHION, "--tickets", str(whole), "--quiet"]) == 0
    assert capsys.readouterr().out == f"{FASHION}: all 7 levels are trained\n"
    assert {path: path.read_bytes() for path in (whole / FASHION).iterdir()} == before


def test_an_interrupt_is_said(tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tickets.Store, "finished", interrupted)
    assert cli.main(["experiments", "--tickets", str(tmp_path)]) == 130
    assert "what was finished is stored" in capsys.readouterr().err


# --- run -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a/9.9",), r"chapter is 'a/9\.9': known are .*a/3\.1"),
        (("a/3.1", "-p", "levle", "0.9"), r"parameter is 'levle': chapter a/3\.1 has .*level: float = 0\.8"),
        (("a/3.1", "-p", "level", "high"), r"parameter level is 'high': it should be a number"),
    ],
)
def test_a_chapter_that_cannot_be_run_is_a_sentence(arguments, words, tmp_path, capsys):
    sentence = refused(capsys, "run", *arguments, "--out", tmp_path / "out")
    assert re.match(words, sentence)
    assert not (tmp_path / "out").exists()


def test_debug_shows_where_an_error_comes_from(tmp_path):
    with pytest.raises(lib.errors.UserError, match="chapter is 'a/9'"):
        cli.main(["--debug", "run", "a/9", "--out", str(tmp_path)])


# --- as a user calls it --------------------------------------------------------------------------------------


def test_the_module_runs_from_another_directory(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "lib", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    done = call("experiments", "--tickets", "nothing")
    assert done.returncode == 0 and FASHION in done.stdout and done.stderr == ""
    done = call("verify", "--tickets", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lib: nothing: holds no experiment; python -m lib train NAME trains one\n"
    assert list(tmp_path.iterdir()) == []


def test_what_was_trained_elsewhere_is_imported(tiny, tmp_path, capsys):
    made_store(tmp_path / "there", tiny)
    arguments = ["import", str(tmp_path / "there"), "--tickets", str(tmp_path / "here")]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == f"{tiny.name}: added dense, 50, 80\n"
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == f"{tiny.name}: nothing new\n"
    assert cli.main(["verify", tiny.name, "--tickets", str(tmp_path / "here")]) == 0


def test_imports_that_cannot_be_are_sentences(tmp_path, capsys):
    assert "no such folder" in refused(capsys, "import", tmp_path / "nowhere")
    assert "holds no experiment" in refused(capsys, "import", tmp_path)


@pytest.mark.parametrize("budget", ["", "0", "-3s", "soon", "5 m", "1d"])
def test_budgets_that_are_no_time_are_sentences(budget, tiny, tmp_path, capsys):
    sentence = refused(capsys, "train", tiny.name, "--tickets", tmp_path, f"--budget={budget}")
    assert repr(budget) in sentence and "500s" in sentence


def test_a_budget_that_is_up_is_said(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lib.datasets.load", lambda *_: made_images())
    out = tmp_path / "out"
    assert cli.main(["train", tiny.name, "--tickets", str(tmp_path), "--out", str(out), "--budget", "1s"]) == 0
    assert "the time is up, 3 of 3 levels are missing" in capsys.readouterr().out
    assert not list(out.rglob("*.npz"))


def test_a_reader_that_has_enough_is_no_error():
    """As `python -m lib claims | head`: the pipe, which holds less than is written, is closed after its first line."""
    claims = ["claims", "--paper", "A", "--section", "2", "--format", "json"]
    with subprocess.Popen(
        [sys.executable, "-m", "lib", *claims], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pipesize=4096
    ) as command:
        assert command.stdout is not None and command.stderr is not None
        command.stdout.readline()
        command.stdout.close()
        said = command.stderr.read()
    assert (command.returncode, said) == (141, b"")
