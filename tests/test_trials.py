"""An experiment with its first initialisations alone: trained, stored, taken over, and said to be so."""

import dataclasses
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import made_images, made_store, tiny_experiment

from lib import cli, experiments
from lib.errors import UserError
from lib.experiments import EXPERIMENTS
from lib.files import sealed
from lib.pruning import with_random
from lib.tickets import Store


@pytest.fixture
def tiny(monkeypatch):
    """A small experiment of six trials as paper B has them, known by its name."""
    levels = with_random(tiny_experiment().levels)
    experiment = tiny_experiment("test/tiny/trials", levels=levels, inits=6, runs=1, epochs=1)
    monkeypatch.setitem(EXPERIMENTS, experiment.name, experiment)
    return experiment


def refused(capsys, *arguments):
    """Run a command that cannot be; return the sentence it leaves."""
    assert cli.main([str(a) for a in arguments]) == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    return sentence


def test_the_first_trials_are_bit_by_bit_those_of_the_whole_experiment(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lib.datasets.load", lambda *_: made_images())
    for root, more in (("all", []), ("two", ["--trials", "2"])):
        where = ["--tickets", str(tmp_path / root), "--device", "cpu", "--workers", "1", "--quiet"]
        assert cli.main(["train", tiny.name, *where, *more]) == 0
    assert "trained (2 of the 6 trials)" in capsys.readouterr().out
    whole, part = Store(tmp_path / "all"), Store(tmp_path / "two")
    held = part.find(tiny.name)
    assert (whole.find(tiny.name), held.inits) == (tiny, 2)
    assert (whole.trials(tiny.name), part.trials(tiny.name)) == ("", "2 of the 6 trials")
    for level in tiny.levels:
        six, two = whole.read(tiny, level), part.read(held, level)
        for part_of_it in ("correct", "losses", "masks", "weights", "biases", "logits"):
            np.testing.assert_array_equal(getattr(two, part_of_it), getattr(six, part_of_it)[:2])
    manifests = [json.loads((s.folder(tiny) / "manifest.json").read_text()) for s in (whole, part)]
    assert [m["specification"].pop("inits") for m in manifests] == [6, 2]
    assert manifests[0]["specification"] == manifests[1]["specification"]
    assert manifests[0]["fingerprint"] != manifests[1]["fingerprint"]
    assert part.verify(held) == ([level.name for level in tiny.levels], [])


@settings(max_examples=20)
@given(total=st.integers(1, 9), data=st.data())
def test_an_experiment_s_first_trials_are_another_of_the_same_name(total, data):
    experiment = tiny_experiment(inits=total)
    first = data.draw(st.integers(1, total))
    assert experiment.first(first) == dataclasses.replace(experiment, inits=first)
    assert (experiment.first(first).fingerprint() == experiment.fingerprint()) == (first == total)
    assert experiment.first(first) is experiment.first(first)
    wrong = data.draw(st.integers(-3, 0) | st.integers(total + 1, total + 4))
    with pytest.raises(UserError, match=f"inits is {wrong}: it must be a whole number between 1 and {total}"):
        experiment.first(wrong)


@pytest.mark.parametrize("said", [0, 7, -1, 2.0, True, "2", None, 10**12])
def test_a_store_that_says_no_number_of_trials_there_could_be_is_a_sentence(tiny, tmp_path, said):
    store = made_store(tmp_path, tiny)
    path = store.folder(tiny) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["specification"]["inits"], manifest["fingerprint"] = said, "0" * 16
    path.write_bytes(sealed(manifest))
    assert store.find(tiny.name) == tiny and store.trials(tiny.name) == ""
    with pytest.raises(UserError, match="was made with fingerprint '0000000000000000'"):
        store.manifest(tiny)


def test_a_number_of_trials_that_is_not_the_one_of_the_fingerprint_is_a_sentence(tiny, tmp_path):
    store = made_store(tmp_path, tiny)
    path = store.folder(tiny) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["specification"]["inits"] = 3
    path.write_bytes(sealed(manifest))
    _, (problem,) = store.verify(store.find(tiny.name))
    assert (problem.level, store.find(tiny.name).inits) == ("manifest", 3) and "holds 6 trials" not in problem.what
    assert "was made with fingerprint" in problem.what


def test_nothing_and_what_cannot_be_read_is_the_whole_experiment(tiny, tmp_path):
    store = Store(tmp_path)
    assert store.find(tiny.name) == tiny
    store.folder(tiny).mkdir(parents=True)
    (store.folder(tiny) / "manifest.json").write_text("{")
    assert store.find(tiny.name) == tiny
    with pytest.raises(UserError, match="experiment is 'test/none'"):
        store.find("test/none")


def test_numbers_of_trials_that_cannot_be_are_refused(tiny, tmp_path, capsys):
    for wrong in ("0", "7", "-1"):
        said = refused(capsys, "train", tiny.name, "--trials", wrong, "--tickets", tmp_path)
        assert f"--trials is {wrong}: {tiny.name} has 6 initialisations" in said and "from 1 to 6" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("stored", "asked"), [(2, 6), (2, 3), (6, 2)])
def test_trials_are_not_mixed(tiny, tmp_path, capsys, stored, asked, monkeypatch):
    """Neither where the store holds others, nor where only the folder of new levels does."""
    monkeypatch.setattr("lib.datasets.load", lambda *_: made_images())
    made_store(tmp_path / "old", tiny.first(stored), levels=1)
    trials = [] if asked == 6 else ["--trials", asked]
    for where in (("--tickets", tmp_path / "old"), ("--tickets", tmp_path / "new", "--out", tmp_path / "old")):
        said = refused(capsys, "train", tiny.name, *where, *trials)
        assert f"{tmp_path / 'old' / tiny.name / 'manifest.json'}: holds {stored} trials" in said
        assert f"not {asked}: --trials {stored} goes on with them" in said
    made_store(tmp_path / "new", tiny.first(asked), levels=1)
    said = refused(capsys, "import", tmp_path / "new", "--tickets", tmp_path / "old")
    assert f"holds {stored} trials" in said and f"not {asked}" in said


def test_some_trials_are_taken_over_and_gone_on_with(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lib.datasets.load", lambda *_: made_images())
    held, here = tiny.first(2), tmp_path / "here"
    made_store(tmp_path / "there", held, levels=2)
    assert cli.main(["import", str(tmp_path / "there"), "--tickets", str(here)]) == 0
    assert Store(here).experiments() == [held] and len(Store(here).finished(held)) == 2
    where = ["--tickets", str(here), "--device", "cpu", "--workers", "1", "--quiet"]
    assert cli.main(["train", tiny.name, "--trials", "2", *where]) == 0
    capsys.readouterr()
    assert cli.main(["verify", "--tickets", str(here)]) == 0
    assert re.search(rf"^{tiny.name} +2 x 3 +2 of the 6 trials$", capsys.readouterr().out, re.MULTILINE)
    monkeypatch.setattr("lib.training.seconds", lambda experiment: experiment.samples() / 1e6)
    assert cli.main(["experiments", "--tickets", str(here)]) == 0
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith(tiny.name))
    # 60,000 images x 1 epoch x 4 levels x 6 networks.
    assert line.split()[1:] == ["partly", "4", "/", "4", "2", "of", "6", "1.4", "1", "s"]


def test_the_command_trains_as_many_again(tiny, tmp_path):
    assert experiments.train_command(tiny) == f"python -m lib train {tiny.name}"
    assert experiments.train_command(tiny.first(2)) == f"python -m lib train {tiny.name} --trials 2"
    store = made_store(tmp_path, tiny.first(2), levels=1)
    with pytest.raises(UserError, match=r"level '80' is not trained; .*--trials 2 trains it"):
        store.read(tiny.first(2), tiny.level("80"))
