"""The one training loop: CPU, one GPU, many GPUs and machines (accelerate), whatever is trained.

    def loss_fn(network, batch, generator): ...               # {"shape": ..., "rotation": ...}: the sum goes down
    def batches(first, step): ...                             # micro-batches first, first + step, ...
    train(stage, network, loss_fn, batches, Path("out/pre"))  # the same call again goes on

Everything random in micro-batch n follows from (seed, n), and its data from n. Therefore a run that was killed goes on
to the same losses, and two processes that share a step's micro-batches compute what one does with both.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sam3d_ros.train.checkpoint import Checkpoints, Progress, gathered, save_weights
from sam3d_ros.train.ema import Ema
from sam3d_ros.train.journal import Journal
from sam3d_ros.train.processes import Distributed
from sam3d_ros.train.recorded import Passes, Recorded, check_recordable
from sam3d_ros.train.stages import Stage, differences
from sam3d_ros.train.stopping import StopSignal
from sam3d_ros.types import InputError, UInt8

Loss = Callable[[nn.Module, Any, torch.Generator], dict[str, Tensor]]
"""loss(network, batch, generator): weighted terms () by name; their sum is minimised."""
Batches = Callable[[int, int], Iterator[Any]]
"""batches(first, step): micro-batches number first, first + step, first + 2 step, ... without end. A batch is anything
whose tensors accelerate can move to a device: tuples, dicts, named tuples."""
Sheet = Callable[[nn.Module, int], UInt8]
"""sheet(network, step): a picture (H, W, 3) of what the network makes now."""
Measure = Callable[[nn.Module, int], dict[str, float]]
"""measure(network, step): validation numbers by name."""
Precision = Literal["auto", "fp32", "bf16"]
"""Of the products in a forward and backward pass; weights, moments and running mean are fp32. auto: bf16 on GPUs that
have it, fp32 on CPUs, of which only some are faster in bf16 (AVX512_BF16, AMX)."""
WEIGHTS = "weights.safetensors"


class Diverged(RuntimeError):
    """The loss or its gradient was not finite many times in a row."""


@dataclass(frozen=True)
class Every:
    """Steps between two log lines, sheets and measurements, checkpoints."""

    log: int = 50
    sheet: int = 1000
    checkpoint: int = 1000


@dataclass(frozen=True)
class Result:
    """Where a run ended. weights: the stage's result (the running mean, where there is one); None where it was stopped
    before the last step. skipped: steps without a finite gradient."""

    step: int
    skipped: int
    weights: Path | None


def train(
    stage: Stage,
    network: nn.Module,
    loss_fn: Loss,
    batches: Batches,
    folder: Path,
    *,
    sheet: Sheet | None = None,
    measure: Measure | None = None,
    every: Every = Every(),
    accumulate: int = 1,
    seed: int = 0,
    compiled: bool = False,
    recorded: bool = False,
    sharded: bool = False,
    precision: Precision = "auto",
    patience: int = 10,
) -> Result:
    """Run a stage, from its last checkpoint in `folder` where there is one.

    network: on the CPU, in fp32; parameters that the stage freezes lose their gradient. sheet and measure get it with
    the mean weights in evaluation mode without gradients, on every process. accumulate: micro-batches per process and
    step. compiled: `network.compile()`, worth it on GPUs. recorded: one CUDA graph for the passes of a step
    (`recorded.py`), worth it for small networks. sharded: FSDP instead of DDP where there are several processes.
    patience: steps in a row without finite gradient before giving up.

    Ctrl-C and SIGTERM end the run after the step at hand with a checkpoint. Raises Diverged (the message says at
    which step, and where the last checkpoint is) and InputError (data that end, a checkpoint of something else, steps
    that cannot be recorded).
    """
    run = _Run(stage, network, loss_fn, folder, accumulate, seed, compiled, sharded, precision, patience)
    if recorded:
        run.record()
    with ExitStack() as stack:
        journal = stack.enter_context(run.journal()) if run.accelerator.is_main_process else None
        stop = stack.enter_context(StopSignal())
        reader = batches(run.first, run.accelerator.num_processes)
        while run.progress.step < stage.steps:
            stopped = run.step(reader, stop)
            step = run.progress.step
            last = step == stage.steps
            if journal:
                journal.step(step)
            if journal and (step % every.log == 0 or last or stopped):
                journal.write(step, run.numbers())
            if step % every.checkpoint == 0 or last or stopped:
                run.save()
            if step % every.sheet == 0 or last:
                run.look(sheet, measure, journal)
            if stopped:
                if journal:
                    journal.say(f"{stage.name}: stopped at step {step}; the same command goes on from there")
                break
    return run.finish()


class _Run:
    """Everything that lives as long as a call of `train`."""

    def __init__(
        self,
        stage: Stage,
        network: nn.Module,
        loss_fn: Loss,
        folder: Path,
        accumulate: int,
        seed: int,
        compiled: bool,
        sharded: bool,
        precision: Precision,
        patience: int,
    ) -> None:
        self.stage, self.loss_fn, self.folder = stage, loss_fn, folder
        self.accumulate, self.patience, self.in_a_row = accumulate, patience, 0
        self.bf16 = half(precision)
        self.accelerator = Accelerator(mixed_precision="no")  # its own setting is one for the whole process
        self.device = self.accelerator.device
        freeze(network, stage.frozen)
        if compiled:
            network.compile()
        network.train()
        self.distributed = Distributed(self.accelerator, network, sharded)
        self.network = network
        self.learned = [p for p in self.network.parameters() if p.requires_grad]
        rate, betas = stage.learning_rate, stage.betas
        # One kernel for all parameters, where there is one: they are many and small.
        fused = self.device.type == "cuda" and not sharded
        self.optimizer = torch.optim.AdamW(
            self.learned, rate, betas, weight_decay=stage.weight_decay, fused=fused or None
        )
        self.ema = None if stage.ema is None else Ema(self.network, stage.ema)
        self.checkpoints = Checkpoints(folder / "checkpoints", self.accelerator.is_main_process)
        self.generator = torch.Generator(self.device)
        self.progress = self._resume(seed)
        self.begun = self.progress.step
        self.since_log: list[dict[str, float]] = []
        self.passes: Passes = self._passes

    def record(self) -> None:
        """From now on passes are replayed. Raises InputError where that cannot be."""
        check_recordable(self.stage, self.device, self.accumulate * self.accelerator.num_processes)
        self.passes = Recorded(self._passes, self.learned, self.generator)

    def _resume(self, seed: int) -> Progress:
        found = self.checkpoints.load(self.network, self.optimizer, self.ema)
        if found is None:
            return Progress(seed=seed, stage=asdict(self.stage))
        if found.seed != seed:
            raise InputError(f"{self.checkpoints.folder} was begun with seed {found.seed}, not {seed}")
        if found.stage["name"] != self.stage.name:
            raise InputError(
                f"{self.checkpoints.folder} holds stage {found.stage['name']}, not {self.stage.name}"
            )
        changed = differences(self.stage, found.stage)
        if changed:
            self.accelerator.print(f"{self.stage.name}: going on with changes: {'; '.join(changed)}")
        return replace(found, stage=asdict(self.stage))

    @property
    def first(self) -> int:
        """Number of this process's next micro-batch."""
        parts = self.accumulate * self.accelerator.num_processes
        return self.progress.step * parts + self.accelerator.process_index

    def journal(self) -> Journal:
        return Journal(self.folder, self.stage.name, self.progress.step, self.stage.steps)

    def step(self, reader: Iterator[Any], stop: StopSignal) -> bool:
        """One step of the optimiser. Returns whether any process was asked to stop."""
        rate = self.stage.rate(self.progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        terms: dict[str, Tensor] = {}
        for part in range(self.accumulate):
            last = part == self.accumulate - 1
            with self.distributed.added_up(last):
                for name, value in self._part(reader, part).items():
                    terms[name] = terms.get(name, 0.0) + value / self.accumulate
        norm = self.distributed.clip(self.stage.clip)
        asked = torch.tensor(float(stop.asked), device=self.device)
        # The processes must agree whether to step and whether to stop: one message for both.
        mine = torch.stack([*terms.values(), norm, asked])
        *values, length, stopped = self.accelerator.reduce(mine.float(), "mean").tolist()
        numbers = dict(zip(terms, values, strict=True))
        finite = math.isfinite(sum(values)) and math.isfinite(length)
        if finite:
            self.optimizer.step()
            if self.ema is not None:
                self.ema.update(self.network)
            self.since_log.append({"loss": sum(values), **numbers, "norm": length, "rate": rate})
        self.optimizer.zero_grad()
        self.progress = replace(
            self.progress,
            step=self.progress.step + 1,
            skipped=self.progress.skipped + (not finite),
        )
        self._judge(finite, numbers)
        return stopped > 0

    def _part(self, reader: Iterator[Any], part: int) -> dict[str, Tensor]:
        """One micro-batch: its terms, and its gradient added to the others'."""
        number = self.first + part * self.accelerator.num_processes
        try:
            batch = send_to_device(next(reader), self.device)
        except StopIteration:
            raise InputError(f"{self.stage.name}: the data end before micro-batch {number}") from None
        own = int(np.random.SeedSequence([self.progress.seed, number]).generate_state(1, np.uint64)[0] >> 1)
        torch.manual_seed(own)  # dropout and the like
        self.generator.manual_seed(own)
        return self.passes(batch)

    def _passes(self, batch: Any) -> dict[str, Tensor]:
        """Forward and backward; the terms of the loss."""
        with arithmetic(self.device, self.bf16):
            terms = self.distributed.call(self.loss_fn, batch, self.generator)
        self.accelerator.backward(torch.stack(list(terms.values())).sum() / self.accumulate)
        return {name: value.detach() for name, value in terms.items()}

    def _judge(self, finite: bool, numbers: dict[str, float]) -> None:
        """Count steps without a finite gradient. Raises Diverged after `patience` in a row."""
        self.in_a_row = 0 if finite else self.in_a_row + 1
        if self.in_a_row < self.patience:
            return
        kept = self.checkpoints.paths()
        raise Diverged(
            f"{self.stage.name}: no finite gradient in {self.in_a_row} steps in a row up to step "
            f"{self.progress.step} (last terms: {', '.join(f'{n} {v:.3g}' for n, v in numbers.items())}). "
            f"The last checkpoint is {kept[-1] if kept else 'missing'}; a lower learning rate or clip may help."
        )

    def numbers(self) -> dict[str, float]:
        """Means since the last call, and the number of skipped steps."""
        lines, self.since_log = self.since_log, []
        names = lines[-1] if lines else {}
        means = {n: sum(line.get(n, 0.0) for line in lines) / len(lines) for n in names}
        return {**means, "skipped": float(self.progress.skipped)}

    def look(self, sheet: Sheet | None, measure: Measure | None, journal: Journal | None) -> None:
        """Pictures and validation numbers of the mean weights, on every process; the main one writes them."""
        if sheet is None and measure is None:
            return
        step = self.progress.step
        self.network.eval()
        mean = self.ema.applied(self.network) if self.ema else nullcontext()
        with torch.no_grad(), arithmetic(self.device, self.bf16), mean:
            picture = self.distributed.call(sheet, step) if sheet else None
            measured = self.distributed.call(measure, step) if measure else None
        self.network.train()
        if journal and picture is not None:
            journal.sheet(step, picture)
        if journal and measured is not None:
            journal.write(step, measured)

    def save(self) -> None:
        """A checkpoint."""
        self.checkpoints.save(self.network, self.optimizer, self.ema, self.progress)

    def finish(self) -> Result:
        """The result; the weights are written where the last step is done."""
        done = self.progress.step >= self.stage.steps
        path = self.folder / WEIGHTS
        if done and (self.progress.step > self.begun or not path.exists()):
            weights = gathered(self.network, self.ema)
            if self.accelerator.is_main_process:
                facts = {"stage": self.stage.name, "step": str(self.progress.step)}
                save_weights(path, weights, facts)
        self.accelerator.wait_for_everyone()
        return Result(self.progress.step, self.progress.skipped, path if done else None)


def half(precision: Precision) -> bool:
    """Whether products are computed in bf16."""
    if precision == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return precision == "bf16"


@contextmanager
def arithmetic(device: torch.device, bf16: bool) -> Iterator[None]:
    """Around what is computed in a run's precision. On CPUs the backward pass of PyTorch's fused attention is much
    slower in bf16 than plain products."""
    plain = bf16 and device.type == "cpu"
    attention: AbstractContextManager[Any] = sdpa_kernel(SDPBackend.MATH) if plain else nullcontext()
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16), attention:
        yield


def freeze(network: nn.Module, prefixes: tuple[str, ...]) -> None:
    """Parameters whose names begin with a prefix learn nothing, all others do.

    Raises InputError for a prefix that no name has: a frozen part that is missing is a mistake in a stage.
    """
    names = [name for name, _ in network.named_parameters()]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            raise InputError(f"no parameter begins with {prefix!r}, which the stage freezes")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.startswith(prefixes))
