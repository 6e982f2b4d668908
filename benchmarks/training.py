"""Training many tickets: this library against what one writes first, measured side by side.

Run from the repository's root: ``OMP_NUM_THREADS=1 python -m benchmarks.training [--device cpu|cuda] [--pages]``; it
needs torch.  All sides train the same replicas, from the same weights and masks, on the same images, which already lie
on the device, with Adam; all sides must come to the same losses.

* *plain loop*: `torch.nn` modules and `torch.optim.Adam`, one replica after the other, gradients masked.
* *vmap*: `torch.func.stack_module_state`, `vmap` over replicas and `torch.optim.Adam` on the stack.
* *one graph*: one replica of this library in a CUDA graph (only on a CUDA GPU).
* *this library*: `lib.training`, which on a CPU is `lib.sparse` where that knows the network.

On a CPU everything runs on one core and the ratio is that of processor times, so that other work on the machine counts
little. ResNet18 and Conv-2 are measured there in bf16 too, all sides (the others by torch.autocast), where the
processor has instructions for it: with a matrix unit that is how they are trained. ``--variants`` adds a second table:
this library at other precisions, with convolutions as matrix products, with the replicas side by side on CUDA streams
and with torch.compile, each beside the limit of the device. The limit is the time that the step's operations take at
the rate of a large matrix product, or its bytes at the rate of a copy, whichever is longer; both rates are measured in
the same run. The plain loop and vmap run with cuDNN's flags as PyTorch has them at first, not those by which this
library gets the same bits every time. ``--pages`` writes the tables into the book's page on performance after every
case, those of a CPU with a matrix unit, with AVX-512 and without into places of their own; rows that the same device
and versions have measured before stay unless they are measured anew.
"""

import argparse
import copy
import gc
import math
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks import page
from lib import sparse, training
from lib.experiments import Experiment, find
from lib.models import Architecture, conv2, initial_parameters

# Experiment, precision of all sides, shares of weights that are left, and on a CPU how many steps for one of LeNet's.
CASES = [
    ("a/fashion-lenet/free", "", (1.0, 0.5, 0.2, 0.1, 0.02), 1),
    ("a/cifar-lenet/free", "", (1.0, 0.1), 1),
    ("a/cifar-resnet18/free", "", (1.0, 0.1, 0.02), 0.1),
    ("a/cifar-resnet18/free", "bf16", (1.0,), 1),
    ("b/conv2/cifar10", "", (1.0, 0.3, 0.1), 0.1),
    # What a call of tiles.c begins with takes as long as ten steps or so; an epoch has 833.
    ("b/conv2/cifar10", "bf16", (1.0, 0.3), 5),
]
SETTLE = 2  # steps that are not measured


class Network(torch.nn.Module):
    """One replica as a module of torch.nn, for architectures with and without batch normalisation and skips."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.layers = torch.nn.ModuleDict()
        for y in architecture.layers:
            if len(y.shape) == 4:
                module: torch.nn.Module = torch.nn.Conv2d(
                    y.shape[1], y.shape[0], y.shape[2:], y.stride, y.padding, bias=not y.norm
                )
            else:
                module = torch.nn.Linear(y.shape[1], y.shape[0])
            self.layers[y.name] = module
            if y.norm:
                # No running averages: they are of no use in training and vmap cannot change them.
                self.layers[y.name + "_norm"] = torch.nn.BatchNorm2d(y.shape[0], track_running_stats=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of a batch."""
        outputs: dict[str, torch.Tensor] = {}
        for y in self.architecture.layers:
            x = outputs[y.source] if y.source else x
            if len(y.shape) == 2 and x.dim() == 4:
                x = x.mean(dim=(2, 3)) if y.average else x.flatten(1)
            x = self.layers[y.name](x)
            x = self.layers[y.name + "_norm"](x) if y.norm else x
            x = torch.nn.functional.max_pool2d(x, 2) if y.pool else x
            x = x + outputs[y.add] if y.add else x
            x = x if y.linear or y is self.architecture.layers[-1] else torch.relu(x)
            outputs[y.name] = x
        return x


def modules(architecture: Architecture, starts: np.ndarray, masks: np.ndarray, device: str) -> tuple[list, list]:
    """Return the replicas as modules, and the mask of every weight of each."""
    networks, found = [], []
    for start, mask in zip(starts, masks, strict=True):
        network = Network(architecture).to(device)
        tensors = {}
        for name, where in architecture.weight_slices().items():
            layer: Any = network.layers[name]
            weight = layer.weight
            tensors[f"layers.{name}.weight"] = torch.from_numpy(mask[where]).view(weight.shape).float().to(device)
            with torch.no_grad():
                weight.copy_(torch.from_numpy(start[where] * mask[where]).view(weight.shape))
                if layer.bias is not None:
                    layer.bias.zero_()
        networks.append(network)
        found.append(tensors)
    return networks, found


def plain_loop(experiment: Experiment, networks: list, masks: list, x: torch.Tensor, y: torch.Tensor) -> Callable:
    """Return a function that does the steps of an order one replica after the other."""
    optimisers = [torch.optim.Adam(n.parameters(), experiment.learning_rate) for n in networks]

    def run(order: torch.Tensor) -> list[float]:
        losses = []
        for network, mask, optimiser, batches in zip(networks, masks, optimisers, order, strict=True):
            total = torch.zeros((), device=x.device)
            for chosen in batches:
                loss = torch.nn.functional.cross_entropy(network(x[chosen].float() / 255), y[chosen])
                optimiser.zero_grad()
                loss.backward()
                for name, parameter in network.named_parameters():
                    if name in mask:
                        parameter.grad *= mask[name]
                optimiser.step()
                total += loss.detach()
            losses.append(float(total) / len(batches))
        return losses

    return run


def vmapped(experiment: Experiment, networks: list, masks: list, x: torch.Tensor, y: torch.Tensor) -> Callable:
    """Return a function that does the steps of an order for all replicas at once, by torch.func."""
    parameters, _ = torch.func.stack_module_state(networks)
    shell = copy.deepcopy(networks[0]).to("meta")
    stacked = {name: torch.stack([m[name] for m in masks]) for name in masks[0]}
    optimiser = torch.optim.Adam(parameters.values(), experiment.learning_rate)

    def one(replica: dict, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = torch.func.functional_call(shell, replica, (images.float() / 255,))
        return torch.nn.functional.cross_entropy(logits, labels)

    def run(order: torch.Tensor) -> list[float]:
        total = torch.zeros(len(networks), device=x.device)
        for s in range(order.shape[1]):
            losses = torch.vmap(one)(parameters, x[order[:, s]], y[order[:, s]])
            optimiser.zero_grad()
            losses.sum().backward()
            for name, mask in stacked.items():
                parameters[name].grad *= mask
            optimiser.step()
            total += losses.detach()
        return (total / order.shape[1]).tolist()

    return run


def ours(
    experiment: Experiment,
    starts: np.ndarray,
    masks: np.ndarray,
    x: torch.Tensor,
    y: torch.Tensor,
    device: str,
    precision: str = "",
) -> Callable:
    """Return a function that does the steps of an order with this library, at its usual precision or another."""
    architecture, rate = experiment.architecture, experiment.learning_rate
    if device == "cuda":
        return stacked(experiment, starts, masks, x, y, precision=precision or "tf32")
    precision = precision or "fp32"
    engine = training.engine(experiment, device, precision)
    if engine != "torch":
        settings, tiled = (rate, *training.BETAS, training.EPSILON), engine != "sparse.c"
        replicas = [
            sparse.Replica(architecture, s, m, *settings, tiled=tiled) for s, m in zip(starts, masks, strict=True)
        ]
        images, labels = x.numpy(), y.numpy().astype(np.uint8)
        return lambda order: [r.train_epoch(images, labels, o) for r, o in zip(replicas, order.numpy(), strict=True)]
    stacks = [
        training.Stack(architecture, s[None], m[None], rate, precision=precision)
        for s, m in zip(starts, masks, strict=True)
    ]
    return lambda order: [float(s.train_epoch(x, y, o[None])) for s, o in zip(stacks, order, strict=True)]


def stacked(
    experiment: Experiment, starts: np.ndarray, masks: np.ndarray, x: torch.Tensor, y: torch.Tensor, **options: Any
) -> Callable:
    """Return a function that does the steps of an order with all replicas in one stack."""
    stack = training.Stack(experiment.architecture, starts, masks, experiment.learning_rate, device=x.device, **options)
    return lambda order: stack.train_epoch(x, y, order).tolist()


VARIANTS: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "TF32": {"precision": "tf32"},
    "TF32, channels last": {"precision": "tf32", "channels_last": True},
    "TF32, compiled": {"precision": "tf32", "compiled": True},
    "bf16": {"precision": "bf16"},
    "bf16, channels first": {"precision": "bf16", "channels_last": False},
    "bf16, compiled": {"precision": "bf16", "compiled": True},
    "bf16, each replica alone, on streams side by side": {"precision": "bf16", "parts": math.inf},
    "bf16, each replica alone, on streams side by side, compiled": {
        "precision": "bf16",
        "parts": math.inf,
        "compiled": True,
    },
    "bf16, in five parts, on streams side by side": {"precision": "bf16", "parts": 5},
    "TF32, convolutions as products": {"precision": "tf32", "convolutions": "product"},
    "bf16, convolutions as products": {"precision": "bf16", "convolutions": "product"},
    "bf16, convolutions as products, compiled": {"precision": "bf16", "convolutions": "product", "compiled": True},
}


def counted(architecture: Architecture) -> tuple[int, int, int]:
    """Return what one image takes: multiplications forward and back, numbers in all outputs; and the weights."""
    network, outputs, products = Network(architecture).to("meta"), 0, 0

    def count(module: Any, _: Any, output: torch.Tensor) -> None:
        nonlocal outputs, products
        outputs += output.numel()
        if hasattr(module, "weight") and module.weight.dim() > 1:
            # Forward, for the gradient of the weights and for that of the input, which the first layer does not need.
            times = 3 if products else 2
            products += times * output.numel() * module.weight[0].numel()

    for module in network.layers.values():
        module.register_forward_hook(count)
    network(torch.empty((2, *architecture.input_shape), device="meta"))
    return products // 2, outputs // 2, sum(p.numel() for p in network.parameters())


def limit(
    architecture: Architecture, replicas: int, batch: int, operations: float, bandwidth: float, half: bool
) -> float:
    """Return the least seconds of one step of a stack: of its operations or of its bytes.

    Every output is written once and read forward and back, and so is its gradient written and read; every weight is
    read, its gradient written and read, and the optimiser reads and writes three numbers.
    """
    products, outputs, weights = counted(architecture)
    moved = replicas * (batch * outputs * 5 * (2 if half else 4) + weights * 9 * 4)
    return max(2 * products * batch * replicas / operations, moved / bandwidth)


def ceilings(device: str) -> dict[str, float]:
    """Return operations a second of a large matrix product at each precision, and bytes a second of a copy."""
    side, count = (8192, 20) if device == "cuda" else (1024, 3)
    found = {}

    def rate(action: Callable[[], object], amount: float) -> float:
        action()
        wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else lambda: None
        wait()
        now = time.perf_counter if device == "cuda" else time.process_time
        begin = now()
        for _ in range(count):
            action()
        wait()
        return count * amount / (now() - begin)

    for precision in training.PRECISIONS:
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        a = torch.randn(side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
        out = torch.empty_like(a)
        found[precision] = rate(lambda a=a, out=out: torch.mm(a, a, out=out), 2 * side**3)
    a = torch.randn(side * side, device=device)
    out = torch.empty_like(a)
    found["copy"] = rate(lambda: out.copy_(a), 8 * side * side)
    return found


def variants(name: str, device: str, replicas: int, steps: int, rates: dict[str, float]) -> Iterator[str]:
    """Yield the rows of the second table for one network."""
    experiment = find(name)
    architecture = experiment.architecture
    starts, masks, x, y, order = given(experiment, 1.0, device, replicas, steps)
    known = None
    for variant, settings in VARIANTS.items():
        options = settings | {"parts": min(settings.get("parts", 1), replicas)}  # no more than there are replicas
        torch.compiler.reset()  # what another network was compiled to is not taken for this one's
        try:
            run = stacked(experiment, starts, masks, x, y, **options)
            taken, first, _ = measure(run, order, device)
            known = known or first
            np.testing.assert_allclose(first, known, rtol=2e-2, err_msg=variant)
        except Exception as error:  # torch.compile needs a compiler: what does not run here is said, not hidden
            print(str(error)[:300], flush=True)
            yield f"| {architecture.name} | {variant} | does not run: {type(error).__name__} | | | |"
            continue
        finally:
            run = None
            gc.collect()  # a compiled stack holds itself
        precision = options["precision"]
        least = limit(
            architecture, replicas, experiment.batch, rates[precision], rates["copy"], half=precision == "bf16"
        )
        yield (
            f"| {architecture.name} | {variant} | {replicas} x {experiment.batch} | {1e3 * taken / steps:.2f} "
            f"| {replicas * steps * experiment.batch / taken:,.0f} | {100 * least * steps / taken:.0f} % |"
        )


def given(experiment: Experiment, density: float, device: str, replicas: int, steps: int) -> tuple[Any, ...]:
    """Return initial parameters, masks, images, labels and batch orders, the same for all sides."""
    architecture, rng = experiment.architecture, np.random.default_rng(0)
    starts = np.stack([initial_parameters(architecture, r % experiment.inits) for r in range(replicas)])
    masks = rng.random((replicas, architecture.weight_count)) < density
    count = 2048
    x = torch.from_numpy(rng.integers(0, 256, (count, *architecture.input_shape), np.uint8)).to(device)
    y = torch.from_numpy(rng.integers(0, 10, count)).to(device)
    order = torch.from_numpy(rng.integers(0, count, (replicas, SETTLE + steps, experiment.batch))).to(device)
    return starts, masks, x, y, order


def measure(run: Callable, order: torch.Tensor, device: str) -> tuple[float, list[float], list[float]]:
    """Return the seconds that the steps take after `SETTLE` others, and the losses of both parts."""
    now = time.perf_counter if device == "cuda" else time.process_time
    first = run(order[:, :SETTLE].contiguous())
    begin = now()
    losses = run(order[:, SETTLE:].contiguous())  # ends with losses on the host, so a GPU has finished
    return now() - begin, first, losses


def case(name: str, precision: str, density: float, device: str, replicas: int, steps: int) -> dict[str, float]:
    """Return images per second of every side, all of which must come to the same losses.

    `precision` is that of all sides; empty for what each usually has.
    """
    experiment = find(name)
    architecture = experiment.architecture
    starts, masks, x, y, order = given(experiment, density, device, replicas, steps)
    sides: dict[str, tuple[Callable[[], Callable], int]] = {
        "plain loop": (lambda: plain_loop(experiment, *modules(architecture, starts, masks, device), x, y), replicas),
        "vmap": (lambda: vmapped(experiment, *modules(architecture, starts, masks, device), x, y), replicas),
        "this library": (lambda: ours(experiment, starts, masks, x, y, device, precision), replicas),
    }
    if device == "cuda":
        sides["one graph"] = (lambda: ours(experiment, starts[:1], masks[:1], x, y, device), 1)
    found, losses = {}, {}
    for side, (begin, trained) in sides.items():
        usual_flags()  # this library sets its own when a stack is made
        run = begin()
        # Kept casts would be those of the weights before the first step.
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            taken, *losses[side] = measure(run, order[:trained], device)
        found[side] = trained * steps * experiment.batch / taken
    for side, (first, _) in losses.items():
        np.testing.assert_allclose(first, losses["plain loop"][0][: len(first)], rtol=5e-3, err_msg=side)
    return found


def usual_flags() -> None:
    """Set cuDNN's flags as PyTorch has them at first, where sums need not come out alike; all may round to TF32."""
    torch.backends.cudnn.deterministic = torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True


OTHERS = {"cpu": ("plain loop", "vmap"), "cuda": ("plain loop", "vmap", "one graph")}
VARIANTS_HEAD = ("network", "how", "replicas x batch", "ms a step", "images a second", "of the limit")


def head(device: str) -> tuple[str, ...]:
    """Return the columns of the first table."""
    over = (f"over {'the ' * (side == 'plain loop')}{side}" for side in OTHERS[device])
    return "network", "weights left", *OTHERS[device], "this library", *over


def row(label: str, density: float, found: dict[str, float], device: str) -> str:
    """Return a row of the first table: images a second of every side, and the ratios to this library's."""
    us, others = found["this library"], [found[side] for side in OTHERS[device]]
    rates, ratios = (f"{r:,.0f}" for r in (*others, us)), (f"{us / r:.1f}" for r in others)
    return f"| {' | '.join((label, f'{100 * density:g} %', *rates, *ratios))} |"


class Report:
    """The tables of one device, with the rows of earlier runs on it, written after every case.

    Parameters
    ----------
    device : str
        'cpu' or 'cuda'.
    place : str, optional
        Of the book's page on performance; nothing is written if not given.
    """

    def __init__(self, device: str, place: str | None = None) -> None:
        self.device, self.place = device, place
        name = training.device_name(device)
        self.where = f"{name}; Python {platform.python_version()}, torch {torch.__version__}"
        text = page.read(place) if place else ""
        lines = text.splitlines() if self.where in text else []  # of another device or version nothing is kept
        # By their first two cells.
        self.rows: dict[tuple[str, ...], str] = {}
        self.variants: dict[tuple[str, ...], str] = {}
        self.limits = next((line for line in lines if line.startswith("Limits measured")), "")
        self.add(line for line in lines if line.startswith("| ") and not line.startswith("| network |"))

    def add(self, rows: Iterable[str]) -> None:
        """Put rows into the tables, in the places of earlier ones of the same, and write them."""
        for line in rows:
            cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
            tables = {len(head(self.device)): self.rows, len(VARIANTS_HEAD): self.variants}
            tables[len(cells)][cells[:2]] = line
        if self.place:
            page.write(self.place, self.text())

    def text(self) -> str:
        """Return both tables, as far as there are rows of them, and what they are of."""
        said = f"Images a second{' of one core' * (self.device == 'cpu')}; {self.where}."
        if self.device == "cuda":
            said += (
                " The plain loop and vmap run with cuDNN's flags as PyTorch has them at first, this library and one "
                "graph with `deterministic` on; all may round to TF32."
            )
        parts = [_table(head(self.device), self.rows), said]
        if self.variants:
            parts += [_table(VARIANTS_HEAD, self.variants), self.limits]
        return "\n\n".join(parts)


def _table(columns: tuple[str, ...], rows: dict[tuple[str, ...], str]) -> str:
    words = 2 if columns == VARIANTS_HEAD else 1
    return "\n".join([f"| {' | '.join(columns)} |", page.rule(words, len(columns) - words), *rows.values()])


def processor() -> str:
    """Return which of the page's tables of a CPU is that of this kind of it: '' for one with a matrix unit."""
    if sparse.tiled_library(conv2()):
        return ""
    return " without a matrix unit" if torch.backends.cpu.get_cpu_capability() == "AVX512" else " without AVX-512"


def main() -> None:
    """Print the tables; write them into the book with ``--pages``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--steps",
        type=int,
        help="measured steps of LeNet, to which those of the others are in proportion (40; 400 on a GPU)",
    )
    parser.add_argument(
        "--networks",
        nargs="+",
        choices=sorted({c[0] for c in CASES}),
        metavar="NAME",
        help="experiments (default: one for each network)",
    )
    parser.add_argument("--variants", action="store_true", help="the second table too")
    parser.add_argument("--replicas", type=int, help="replicas (default: 2 on a CPU, those of the experiment on a GPU)")
    parser.add_argument("--pages", action="store_true", help="write the table into book/performance.md")
    options = parser.parse_args()
    on_gpu, failed, place = options.device == "cuda", [], None
    if not on_gpu:
        torch.set_num_threads(1)
    if options.pages:
        place = f"training {options.device}{'' if on_gpu else processor()}"
    report, rates = Report(options.device, place), {}
    without_bf16 = not on_gpu and not torch.cpu._is_avx512_bf16_supported()
    if without_bf16:
        print("Here are no AVX-512 instructions for bf16, which PyTorch imitates very slowly: it is not measured.")
    if options.variants:
        rates = ceilings(options.device)
        products = ", ".join(f"{k} {v / 1e12:.3g} TFLOP/s" for k, v in rates.items() if k != "copy")
        copies = f"{rates['copy'] / 1e9:,.0f} GB/s (copy)"
        report.limits = f"Limits measured in the same run: {products} (products of matrices), {copies}."
    for name, precision, densities, share in CASES:
        if (precision and (on_gpu or without_bf16)) or (options.networks and name not in options.networks):
            continue  # on a GPU the second table has all precisions
        experiment = find(name)
        replicas = options.replicas or (experiment.replicas if on_gpu else 2)
        steps = max(2, round((options.steps or (400 if on_gpu else 40)) * (0.1 if on_gpu and share < 1 else share)))
        label = " ".join(filter(None, (experiment.architecture.name, precision)))
        for density in densities[: 1 if on_gpu else None]:  # a GPU multiplies by the zeros
            try:
                line = row(
                    label, density, case(name, precision, density, options.device, replicas, steps), options.device
                )
            except Exception:  # the others are measured all the same
                traceback.print_exc()
                failed.append(f"{label} at {100 * density:g} %")
                continue
            print(line, flush=True)
            report.add([line])
        if options.variants:
            try:
                for line in variants(name, options.device, replicas, steps, rates):
                    print(line, flush=True)
                    report.add([line])
            except Exception:
                traceback.print_exc()
                failed.append(f"the variants of {label}")
    print(report.text())
    if failed:
        sys.exit(f"not measured, for the reasons above: {', '.join(failed)}")


if __name__ == "__main__":
    main()
