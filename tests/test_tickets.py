import dataclasses
import hashlib
import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made import PROVENANCE, TINY, made_store, tiny_experiment

from lib.errors import UserError
from lib.experiments import EXPERIMENTS
from lib.files import sealed
from lib.pruning import percent_levels, prune, with_random
from lib.tickets import TEST_LOGITS, LevelRecord, Problem, Store

EXPERIMENT = tiny_experiment()
DENSE, HALF, LAST = EXPERIMENT.levels


def made_records() -> list[LevelRecord]:
    """Records of a pretended training: random weights, real pruning."""
    rng = np.random.default_rng(0)
    masks = np.ones((EXPERIMENT.replicas, TINY.weight_count), bool)
    records = []
    for number in range(len(EXPERIMENT.levels)):
        parameters = rng.normal(size=(EXPERIMENT.replicas, TINY.parameter_count)).astype(np.float32)
        weights = parameters[:, : TINY.weight_count] * masks
        last = number + 1 == len(EXPERIMENT.levels)
        following = None if last else prune(TINY, parameters, masks, EXPERIMENT.levels[number + 1])
        records.append(
            LevelRecord(
                masks=masks,
                weights=weights,
                biases=parameters[:, TINY.weight_count :],
                logits=rng.normal(size=(EXPERIMENT.replicas, TEST_LOGITS, 10)).astype(np.float32),
                correct=rng.integers(0, 2000, EXPERIMENT.replicas),
                losses=rng.random((EXPERIMENT.replicas, EXPERIMENT.epochs)).astype(np.float32),
                next_masks=following,
            )
        )
        masks = following
    return records


RECORDS = made_records()


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, EXPERIMENT.name, EXPERIMENT)
    store = Store(tmp_path)
    for level, record in zip(EXPERIMENT.levels, RECORDS, strict=True):
        store.write(EXPERIMENT, level, record, PROVENANCE)
    return store


def manifest_path(store):
    return store.folder(EXPERIMENT) / "manifest.json"


def edit_manifest(store, change):
    manifest = json.loads(manifest_path(store).read_text())
    change(manifest)
    manifest_path(store).write_bytes(sealed(manifest))


def test_what_is_written_comes_back(store):
    for level, record in zip(EXPERIMENT.levels, RECORDS, strict=True):
        found = store.read(EXPERIMENT, level)
        np.testing.assert_array_equal(found.masks, record.masks)
        np.testing.assert_array_equal(found.correct, record.correct)
        np.testing.assert_array_equal(found.losses, record.losses)
        np.testing.assert_array_equal(found.biases, record.biases)
        np.testing.assert_allclose(found.weights, record.weights, rtol=2**-11, atol=1e-7)
        np.testing.assert_allclose(found.logits, record.logits, rtol=2**-11, atol=1e-7)
        assert (found.weights[~record.masks] == 0).all()
        if record.next_masks is None:
            assert found.next_masks is None
        else:
            np.testing.assert_array_equal(found.next_masks, record.next_masks)


def test_a_whole_store_verifies(store):
    assert store.verify(EXPERIMENT) == (["dense", "50", "80"], [])
    assert store.experiments() == [EXPERIMENT]


def test_the_same_record_gives_the_same_bytes(store, tmp_path):
    other = Store(tmp_path / "other")
    path = other.write(EXPERIMENT, DENSE, RECORDS[0], PROVENANCE)
    assert path.read_bytes() == (store.folder(EXPERIMENT) / "dense.npz").read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_noticed(store, where, bit):
    path = store.folder(EXPERIMENT) / "50.npz"
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[int(where * len(whole))] ^= 1 << bit
    path.write_bytes(damaged)
    levels, problems = store.verify(EXPERIMENT)
    path.write_bytes(whole)
    assert "50" not in levels
    assert any(p.level == "50" and "SHA-256" in p.what for p in problems)


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_file_is_noticed(store, keep):
    path = store.folder(EXPERIMENT) / "80.npz"
    path.write_bytes(path.read_bytes()[:keep])
    levels, problems = store.verify(EXPERIMENT)
    assert levels == ["dense", "50"]
    assert [p.level for p in problems] == ["80"]


def test_missing_levels_and_files_are_named(store):
    (store.folder(EXPERIMENT) / "50.npz").unlink()
    edit_manifest(store, lambda m: m["levels"].pop("80"))
    levels, problems = store.verify(EXPERIMENT)
    assert levels == ["dense"]
    assert [(p.level, "cannot be read" in p.what or p.what == "missing") for p in problems] == [
        ("50", True),
        ("80", True),
    ]
    assert store.finished(EXPERIMENT) == [DENSE, HALF]


def test_swapped_files_are_noticed(store):
    a, b = (store.folder(EXPERIMENT) / name for name in ("50.npz", "80.npz"))
    content = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(content)
    assert {p.level for p in store.verify(EXPERIMENT)[1]} == {"50", "80"}


def test_masks_that_do_not_follow_from_the_level_before_are_noticed(store):
    rng = np.random.default_rng(3)
    parameters = rng.normal(size=(EXPERIMENT.replicas, TINY.parameter_count)).astype(np.float32)
    foreign = prune(TINY, parameters, np.ones_like(RECORDS[0].masks), HALF)
    following = prune(TINY, parameters, foreign, LAST)
    store.write(EXPERIMENT, HALF, dataclasses.replace(RECORDS[1], masks=foreign, next_masks=following), PROVENANCE)
    problems = store.verify(EXPERIMENT)[1]
    assert [p.level for p in problems] == ["50", "80"]
    assert "pruning the level before" in problems[0].what


def test_a_changed_specification_is_named(store, monkeypatch):
    changed = dataclasses.replace(EXPERIMENT, epochs=9)
    monkeypatch.setitem(EXPERIMENTS, EXPERIMENT.name, changed)
    _, problems = store.verify(changed)
    assert len(problems) == 1 and EXPERIMENT.fingerprint() in problems[0].what
    with pytest.raises(UserError, match="fingerprint"):
        store.read(changed, DENSE)


def test_initial_weights_that_changed_are_noticed(store):
    edit_manifest(store, lambda m: m.update({"initial weights sha256": "0" * 64}))
    assert "initial weights" in store.verify(EXPERIMENT)[1][0].what
    with pytest.raises(UserError, match="initial weights"):
        store.initial_weights(EXPERIMENT)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"levels": 3}', '{"levels": {}, "format": 99}', "\xff"])
def test_a_manifest_that_is_none_is_a_sentence(store, text):
    manifest_path(store).write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"manifest\.json") as error:
        store.manifest(EXPERIMENT)
    assert "\n" not in str(error.value)
    assert store.verify(EXPERIMENT)[1]


def test_the_manifest_of_another_experiment_is_refused(store):
    edit_manifest(store, lambda m: m.update({"experiment": "test/other"}))
    with pytest.raises(UserError, match="test/other"):
        store.manifest(EXPERIMENT)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.zeros((4, 3), np.float32)},
        {"logits": np.zeros((4, 10, 10), np.float32)},
        {"correct": np.zeros(3, np.int64)},
        {"losses": np.zeros((4, 1), np.float32)},
        {"next_masks": None},
        {"masks": np.zeros_like(RECORDS[0].masks)},
    ],
)
def test_a_record_that_does_not_fit_leaves_nothing_behind(tmp_path, change):
    store = Store(tmp_path)
    with pytest.raises(UserError, match="test/tiny/free dense"):
        store.write(EXPERIMENT, DENSE, dataclasses.replace(RECORDS[0], **change), PROVENANCE)
    assert not list(tmp_path.rglob("*.*"))


def test_a_disk_that_fails_leaves_the_old_file_and_no_half_one(store, monkeypatch):
    before = {path: path.read_bytes() for path in store.folder(EXPERIMENT).iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write(EXPERIMENT, HALF, RECORDS[1], PROVENANCE)
    assert {path: path.read_bytes() for path in store.folder(EXPERIMENT).iterdir()} == before


def test_pickled_content_is_never_loaded(store):
    buffer = io.BytesIO()
    np.savez(buffer, masks=np.array([{"a": 1}], dtype=object), weight_count=1)
    content = buffer.getvalue()
    (store.folder(EXPERIMENT) / "50.npz").write_bytes(content)
    edit_manifest(
        store,
        lambda m: m["levels"]["50"].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),
    )
    with pytest.raises(UserError, match="not the ticket file of test/tiny/free 50"):
        store.read(EXPERIMENT, HALF)


def test_a_file_that_is_no_archive_but_has_the_right_hash_is_a_sentence(store):
    for content in (b"x", b"not a zip", zipfile_of_garbage()):
        (store.folder(EXPERIMENT) / "50.npz").write_bytes(content)
        edit_manifest(
            store,
            lambda m, c=content: m["levels"]["50"].update(sha256=hashlib.sha256(c).hexdigest(), bytes=len(c)),
        )
        with pytest.raises(UserError, match="not the ticket file of test/tiny/free 50"):
            store.read(EXPERIMENT, HALF)


def zipfile_of_garbage() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("masks.npy", b"garbage")
    return buffer.getvalue()


def test_a_level_that_is_not_trained_names_the_command(tmp_path):
    with pytest.raises(UserError, match="python -m lib train test/tiny/free"):
        Store(tmp_path).read(EXPERIMENT, DENSE)


def test_a_manifest_of_format_1_is_read_and_gets_its_checksum(store):
    manifest = json.loads(manifest_path(store).read_text()) | {"format": 1}
    del manifest["checksum"]
    manifest_path(store).write_text(json.dumps(manifest))
    assert store.verify(EXPERIMENT)[1] == []
    store.seal(EXPERIMENT)
    assert json.loads(manifest_path(store).read_text()).keys() == manifest.keys() | {"checksum"}
    assert store.verify(EXPERIMENT)[1] == []


def test_every_stored_manifest_has_a_checksum():
    store = Store()
    for experiment in store.experiments():
        assert store.manifest(experiment)["format"] == 2, (
            f'seal it: python -c "from lib.tickets import *; Store().seal(EXPERIMENTS[{experiment.name!r}])"'
        )


def test_one_process_at_a_time_writes_an_experiment(store):
    with store.alone(EXPERIMENT):
        with pytest.raises(UserError, match="another process is writing test/tiny/free; wait until it ends"):
            Store(store.root).write(EXPERIMENT, DENSE, RECORDS[0], PROVENANCE)
        store.write(EXPERIMENT, DENSE, RECORDS[0], PROVENANCE)  # who holds the lock may write
    Store(store.root).write(EXPERIMENT, DENSE, RECORDS[0], PROVENANCE)


def test_what_a_killed_process_left_beside_a_file_is_removed(store):
    half = store.folder(EXPERIMENT) / ".50.npz-abcd1234"
    half.write_bytes(b"half")
    store.write(EXPERIMENT, DENSE, RECORDS[0], PROVENANCE)
    assert not half.exists()


def test_random_tickets_are_checked_against_the_masks_that_are_drawn_for_them(tmp_path):
    experiment = tiny_experiment(levels=with_random(percent_levels("50", "80")))
    store = made_store(tmp_path, experiment)
    names = ["dense", "50", "80", "random"]
    assert store.verify(experiment) == (names, [])
    drawn = store.read(experiment, experiment.level("random"))
    assert store.read(experiment, experiment.last).next_masks is None
    masks = drawn.masks[::-1]  # the same counts, but of other replicas
    store.write(
        experiment, experiment.levels[-1], dataclasses.replace(drawn, masks=masks, weights=1.0 * masks), PROVENANCE
    )
    assert store.verify(experiment) == (
        names[:-1],
        [Problem(experiment.name, "random", "its masks are not the ones drawn for it")],
    )


def copy(store, root, *levels):
    """A store that holds only some levels of another."""
    result = Store(root)
    for level, record in zip(EXPERIMENT.levels, RECORDS, strict=True):
        if level.name in levels:
            result.write(EXPERIMENT, level, record, PROVENANCE | {"device": "another"})
    return result


def test_levels_from_elsewhere_are_taken_over_once(store, tmp_path):
    here, there = copy(store, tmp_path / "here", "dense"), copy(store, tmp_path / "there", "50", "80")
    assert here.adopt(there, EXPERIMENT) == ["50", "80"]
    assert here.adopt(there, EXPERIMENT) == []
    assert here.verify(EXPERIMENT) == (["dense", "50", "80"], [])
    assert here.manifest(EXPERIMENT)["levels"]["80"] == there.manifest(EXPERIMENT)["levels"]["80"]
    assert copy(store, tmp_path / "empty").adopt(here, EXPERIMENT) == ["dense", "50", "80"]


def test_levels_that_do_not_follow_are_not_taken_over(store, tmp_path):
    there = copy(store, tmp_path / "there", "80")
    assert copy(store, tmp_path / "a", "dense").adopt(there, EXPERIMENT) == []  # level 50 is missing between them
    other = Store(tmp_path / "other")
    turned = dataclasses.replace(RECORDS[0], next_masks=RECORDS[0].next_masks[::-1].copy())
    other.write(EXPERIMENT, DENSE, turned, PROVENANCE)
    half = copy(store, tmp_path / "half", "50")
    with pytest.raises(UserError, match="masks of level '50' are not the ones"):
        other.adopt(half, EXPERIMENT)
    assert [level.name for level in other.finished(EXPERIMENT)] == ["dense"]
    with pytest.raises(UserError, match="level 'dense' is another than in"):
        other.adopt(store, EXPERIMENT)


def test_damaged_levels_from_elsewhere_are_not_taken_over(store, tmp_path):
    path = store.folder(EXPERIMENT) / "50.npz"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    here = Store(tmp_path / "here")
    with pytest.raises(UserError, match="SHA-256"):
        here.adopt(store, EXPERIMENT)
    assert [level.name for level in here.finished(EXPERIMENT)] == ["dense"]
    changed = json.loads(manifest_path(store).read_text()) | {"initial weights sha256": "0" * 64}
    manifest_path(store).write_bytes(sealed(changed))
    with pytest.raises(UserError, match="other initial weights"):
        Store(tmp_path / "there").adopt(store, EXPERIMENT)
