"""Networks of one's own: state dicts of any architecture, pruned by PyTorch's own tools."""

import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lib import build, own, topology
from lib.errors import UserError
from lib.experiments import find

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402


class Residual(nn.Module):
    """A module of a user: two convolutions around a shortcut, normalised, then a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 8, 3, padding=1)
        self.shortcut = nn.Conv2d(3, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        y = self.inner(self.norm(self.stem(x)).relu()) + self.shortcut(x)
        return self.head(y.mean((2, 3)))


def pruned(module: nn.Module, seed: int, amount: float = 0.75, remove: bool = False) -> nn.Module:
    """A module with random weights, each layer pruned by magnitude."""
    torch.manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.reset_parameters()
            prune.l1_unstructured(layer, "weight", amount)
            if remove:
                prune.remove(layer, "weight")
    return module


def resnet18() -> nn.Module:
    try:
        from torchvision.models import resnet18
    except Exception as error:  # built for another torch it raises more than an ImportError
        pytest.skip(f"torchvision cannot be imported: {error}")
    return resnet18(weights=None)


@pytest.mark.parametrize("module", [Residual, resnet18])
@pytest.mark.parametrize("remove", [False, True])
def test_modules_pruned_by_torch(module, remove: bool) -> None:
    first, second = (pruned(module(), seed, remove=remove) for seed in (0, 1))
    layers = {n: m for n, m in first.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    others = dict(second.named_modules())
    found = own.compare(first.state_dict(), second.state_dict())
    assert [y.name for y in found] == list(layers)
    for y in found:
        a, b = (m.weight.detach().numpy().ravel() for m in (layers[y.name], others[y.name]))
        mine, theirs = set(np.flatnonzero(a)), set(np.flatnonzero(b))
        assert y.weights == a.size and y.kept == (len(mine), len(theirs))
        assert abs(y.kept[0] - 0.25 * a.size) <= 1
        both = sorted(mine & theirs)
        assert y.overlap == pytest.approx(100 * len(both) / len(mine))
        assert y.expected == pytest.approx(100 * len(theirs) / a.size)
        assert y.low <= y.expected <= y.high
        if len(both) < 3:
            assert math.isnan(y.rank_correlation) and math.isnan(y.null_deviation)
        else:
            assert y.rank_correlation == pytest.approx(stats.spearmanr(a[both], b[both]).statistic)
            assert y.null_deviation == pytest.approx(1 / math.sqrt(len(both) - 1))
        assert 0 < y.nnstd <= 1 and 0 < y.nnstd_signs <= 1
        assert y.name in str(y) and f"{y.overlap:.1f} %" in str(y)
    convolutions = [n for n, m in layers.items() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert [k.name for k in own.kernel_statistics(first.state_dict())] == convolutions


def test_a_network_and_itself() -> None:
    state = pruned(Residual(), 0).state_dict()
    for y in own.compare(state, state):
        assert (y.overlap, y.nnstd, y.nnstd_signs) == (100, 0, 0)
        assert y.rank_correlation == pytest.approx(1)
    negated = {name: -value if name.endswith("_orig") else value for name, value in state.items()}
    for y in own.compare(state, negated):
        assert (y.overlap, y.nnstd) == (100, 0) and y.nnstd_signs > 0
        assert y.rank_correlation == pytest.approx(-1)


def test_the_unit_order_does_not_count_for_nnstd() -> None:
    state = own.network(pruned(Residual(), 0).state_dict())
    shuffled = {name: np.random.default_rng(1).permutation(values) for name, values in state.items()}
    assert all(y.nnstd == y.nnstd_signs == 0 for y in own.compare(state, shuffled))
    assert any(y.overlap < 100 for y in own.compare(state, shuffled))


def test_a_chain_is_measured_as_the_book_does() -> None:
    rng = np.random.default_rng(0)
    architecture = find("a/fashion-lenet/free").architecture
    slices = architecture.weight_slices()
    flat = [rng.normal(size=architecture.weight_count) * (rng.random(architecture.weight_count) < 0.2) for _ in "ab"]
    nets = [{x.name: w[slices[x.name]].reshape(x.shape) for x in architecture.layers} for w in flat]
    found = own.compare(*nets, carry=True)
    masks = [w != 0 for w in flat]
    assert [y.nnstd for y in found] == topology.layer_distances(architecture, *masks).tolist()
    signs = [np.sign(w).astype(np.int8) for w in flat]
    assert [y.nnstd_signs for y in found] == topology.layer_distances(architecture, *signs).tolist()
    with pytest.raises(UserError, match="not a chain"):
        state = pruned(Residual(), 0).state_dict()
        own.compare(state, state, carry=True)


def test_the_chance_of_different_counts_is_hypergeometric() -> None:
    rng = np.random.default_rng(0)
    n, kept = 400, (60, 150)
    draws = np.array([len(set(rng.permutation(n)[: kept[0]]) & set(range(kept[1]))) for _ in range(4000)])
    first, second = (np.zeros((20, 20), bool) for _ in "ab")
    first.flat[: kept[0]], second.flat[: kept[1]] = True, True
    (y,) = own.compare({"x": first}, {"x": second})
    assert y.overlap == 100 and y.kept == kept
    assert y.expected == pytest.approx(100 * draws.mean() / kept[0], rel=0.02)
    assert y.low == pytest.approx(100 * np.quantile(draws, 0.025) / kept[0], abs=2)
    assert y.high == pytest.approx(100 * np.quantile(draws, 0.975) / kept[0], abs=2)
    # Masks alone have no weights to rank, and no signs.
    assert math.isnan(y.rank_correlation) and math.isnan(y.nnstd_signs) and y.nnstd > 0


def test_a_mask_among_weights_has_no_signs() -> None:
    rng = np.random.default_rng(0)
    nets = [{"a": rng.normal(size=(6, 5)), "b": rng.random((4, 6)) < 0.5} for _ in "ab"]
    alone = own.compare({"a": nets[0]["a"]}, {"a": nets[1]["a"]})
    found = own.compare(*nets)
    assert found[0] == alone[0] and math.isnan(found[1].nnstd_signs) and found[1].nnstd > 0
    with pytest.raises(UserError, match=r"carry is True: it should be False where some layers \('b'\) are masks alone"):
        own.compare(*nets, carry=True)


def test_masks_alone_are_carried_from_layer_to_layer() -> None:
    rng = np.random.default_rng(0)
    nets = [{"a": rng.random((6, 5)) < 0.5, "b": rng.random((4, 6)) < 0.5} for _ in "ab"]
    found = own.compare(*nets, carry=True)
    assert [y.nnstd for y in found] != [y.nnstd for y in own.compare(*nets)]
    # Units in another order, which the next layer knows: the same network.
    order = rng.permutation(6)
    shuffled = {"a": nets[0]["a"][order], "b": nets[0]["b"][:, order]}
    assert [y.nnstd for y in own.compare(nets[0], shuffled, carry=True)] == [0, 0]


def test_a_name_that_ends_like_torch_s_is_a_layer_of_its_own() -> None:
    mask, weights = np.eye(3, dtype=bool), np.full((3, 3), 2.0)
    found = own.network({"gate_mask": mask, "gate": weights, "head_orig": weights})
    assert list(found) == ["gate_mask", "gate", "head_orig"]
    assert np.array_equal(found["gate_mask"], mask) and np.array_equal(found["head_orig"], weights)
    both = own.network({"head_orig": weights, "head_mask": mask})
    assert list(both) == ["head"] and np.array_equal(both["head"], weights * mask)


def test_files(tmp_path: Path) -> None:
    state = pruned(Residual(), 0).state_dict()
    torch.save(state, tmp_path / "a.pt")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "b.pt")
    torch.save({name: value.half() for name, value in state.items()}, tmp_path / "half.pt")
    np.savez(tmp_path / "c.npz", **own.network(state))
    networks = [own.read(tmp_path / name) for name in ("a.pt", "b.pt", "c.npz")]
    for other in networks[1:]:
        assert list(other) == list(networks[0])
        assert all(np.array_equal(other[name], networks[0][name]) for name in other)
    assert all(y.overlap == 100 for y in own.compare(networks[0], own.read(tmp_path / "half.pt")))


class Trap:
    """Executes something when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    torch.save({"weight": Trap(tmp_path / "sprung")}, tmp_path / "trap.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"weight": Trap(tmp_path / "sprung")}))
    np.savez(tmp_path / "trap.npz", weight=np.array([Trap(tmp_path / "sprung")], dtype=object))
    for name in ("trap.pt", "plain.pt", "trap.npz"):
        with pytest.raises(UserError, match=re.escape(f"path is '{tmp_path / name}'")):
            own.read(tmp_path / name)
    torch.save(Residual(), tmp_path / "model.pt")
    with pytest.raises(UserError, match="weights_only=True"):
        own.read(tmp_path / "model.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"x": np.ones((2, 3))}, {"x": np.ones((3, 2))}, "second has shape (3, 2) for layer 'x': it should be (2, 3)"),
        ({"x": np.ones((2, 3))}, {"y": np.ones((2, 3))}, "second has none for layer 'x'"),
        ({"x": np.ones(3)}, {"x": np.ones(3)}, "no array has two axes"),
        ({"x": np.full((2, 2), np.nan)}, {"x": np.ones((2, 2))}, "layer 'x' with weights that are not finite"),
        ({"x": "text"}, {"x": np.ones((2, 2))}, "network has 'x' of type str"),
        ([1], {"x": np.ones((2, 2))}, "network is a list"),
    ],
)
def test_what_is_no_pair_of_networks_is_a_sentence(first, second, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        own.compare(first, second)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    for name in ("a.pt", "a.npz"):
        with pytest.raises(UserError, match=r"path is '.*a\.(pt|npz)': .*No such file"):
            own.read(tmp_path / name)


def test_a_layer_that_keeps_nothing_has_no_overlap() -> None:
    (y,) = own.compare({"x": np.zeros((4, 4))}, {"x": np.ones((4, 4))})
    assert math.isnan(y.overlap) and math.isnan(y.rank_correlation) and y.kept == (0, 16)


def test_kernels_of_a_known_pattern() -> None:
    weights = np.zeros((1, 1, 3, 3))
    weights[0, 0, 0] = 1, 1, -1  # two pairs of neighbours among three, one of which has one sign
    (found,) = own.kernel_statistics({"conv": weights})
    assert (found.sign_ratio, found.neighbour_share, found.same_sign_share) == (2, pytest.approx(2 / 3), 0.5)
    assert found.expected_neighbour_share == pytest.approx(1 / 3)
    assert own.kernel_statistics({"conv": weights != 0}) == []


def test_the_ten_lines_of_the_page_run(tmp_path: Path, monkeypatch, capsys) -> None:
    text = build.chapter_path("own").read_text(encoding="utf-8")
    block = re.search(r"# ```python\n(.*?)# ```", text, re.DOTALL)[1]
    code = "".join(line.removeprefix("#").removeprefix(" ") for line in block.splitlines(keepends=True))
    assert len(code.splitlines()) <= 10
    for seed, name in enumerate(("first.pt", "second.pt")):
        torch.save(pruned(Residual(), seed).state_dict(), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "page", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["stem", "inner", "shortcut", "head", "stem", "inner"]
    assert all("chance" in line for line in lines)
