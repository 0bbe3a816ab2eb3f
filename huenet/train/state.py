"""Everything that training changes, and its way to and from the disk."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from huenet.config import Config, ConfigError
from huenet.data.pairs import PairSampler
from huenet.model import checkpoint
from huenet.model.checkpoint import CHECKPOINT, MODEL, CheckpointError
from huenet.model.networks import AnyGenerator, Generator, build_discriminator, build_generator
from huenet.train.processes import Processes

__all__ = ["State", "share_of_batch"]


def share_of_batch(config: Config, processes: Processes) -> int:
    """Pairs of a batch for each process.

    Raises
    ------
    ConfigError
        The batch cannot be cut into that many equal parts.
    """
    share, rest = divmod(config.batch_size, processes.world * config.accumulate)
    if not share or rest:
        parts = f"{processes.world} processes times --accumulate {config.accumulate}"
        raise ConfigError(f"--batch-size must be a multiple of {parts}, got {config.batch_size}")
    return config.batch_size // processes.world


class State:
    """Both networks, their averages and optimisers, the place in the data, and the number of steps done."""

    def __init__(self, config: Config, images: int, processes: Processes) -> None:
        torch.manual_seed(config.seed)  # the same networks on every rank
        self.config, self.device, self.rank = config, processes.device, processes.rank
        self.generator, self.discriminator = build_generator(config), build_discriminator(config)
        for network in (self.generator, self.discriminator):
            network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False) if config.ema else None
        self.adam_g, self.adam_d = (
            torch.optim.Adam(network.parameters(), rate, (config.beta1, config.beta2), fused=True)
            for network, rate in ((self.generator, config.lr), (self.discriminator, config.lr_d or config.lr))
        )
        share = share_of_batch(config, processes)
        self.sampler = PairSampler(images, share, config.seed, processes.rank, processes.world)
        self.step, self.rate = 0, config.lr
        if config.compile:
            (self.generator.unet if isinstance(self.generator, Generator) else self.generator).compile()
            self.discriminator.layers.compile()
        self._seed_rank()

    def best_generator(self) -> AnyGenerator:
        """The averaged generator where there is one; in evaluation mode."""
        return self.generator.eval() if self.average is None else self.average

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the averaged generator; it follows fast at first, when the network changes fast."""
        if self.average is None:
            return
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1 - decay)
        for mean, now in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            mean.copy_(now)

    def set_rate(self, total: int) -> None:
        """The learning rate of this step: constant, then falling to 0 in a straight line."""
        start = self.config.decay_from * total
        left = (total - self.step) / (total - start) if self.step > start else 1.0
        self.rate = self.config.lr * left
        self.adam_g.param_groups[0]["lr"] = self.rate
        self.adam_d.param_groups[0]["lr"] = (self.config.lr_d or self.config.lr) * left

    def is_finite(self) -> bool:
        """Whether every weight of both networks, and what Adam keeps of it, is a finite number."""
        tensors = [p.detach() for p in (*self.generator.parameters(), *self.discriminator.parameters())]
        for optimizer in self._optimizers().values():  # an infinite mean square stops its weight for ever
            tensors += [tensor for kept in optimizer.state.values() for tensor in kept.values()]
        return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())

    def save(self, folder: Path) -> None:
        """Write the checkpoint, and the generator alone, into `folder`."""
        tensors = {f"rng/{name}": value for name, value in checkpoint.rng_tensors().items()}
        for name, part in self._networks().items():
            tensors |= {f"{name}/{key}": value for key, value in part.state_dict().items()}
        for name, optimizer in self._optimizers().items():
            tensors |= {f"{name}/{key}": value for key, value in checkpoint.optimizer_tensors(optimizer).items()}
        meta = {"step": self.step, "sampler": self.sampler.state_dict(), "config": self.config.to_json()}
        checkpoint.save(folder / CHECKPOINT, tensors, meta)
        checkpoint.save(
            folder / MODEL, self.best_generator().state_dict(), {"step": self.step, "config": meta["config"]}
        )

    def load(self, folder: Path, *, weights_only: bool = False) -> None:
        """Go back to the checkpoint in `folder`.

        Parameters
        ----------
        folder : Path
            A run folder.
        weights_only : bool
            Go on in the data and the random numbers: what led to trouble once would lead there again.

        Raises
        ------
        CheckpointError
            There is no checkpoint, or it does not fit this configuration.
        """
        tensors, meta = checkpoint.load(folder / CHECKPOINT, self.device)

        def part(name: str) -> dict[str, Any]:
            return {key.removeprefix(f"{name}/"): t for key, t in tensors.items() if key.startswith(f"{name}/")}

        try:
            for name, network in self._networks().items():
                # a run that is given --ema on its way starts its average from the weights that it has
                network.load_state_dict(part(name) or part("generator"))
            for name, optimizer in self._optimizers().items():
                checkpoint.load_optimizer(optimizer, part(name))
            self.step = meta["step"]
            if weights_only:
                return
            self.sampler.load_state_dict(meta["sampler"])
            checkpoint.set_rng(part("rng"))
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{folder / CHECKPOINT} does not fit this configuration and data: {reason}"
            ) from error
        self._seed_rank()

    def _seed_rank(self) -> None:
        if self.rank:  # dropout differs between ranks; rank 0 keeps the stream that the checkpoint holds
            torch.manual_seed(hash((self.config.seed, self.rank, self.step)) % 2**63)

    def _networks(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = {"generator": self.generator, "discriminator": self.discriminator}
        return networks if self.average is None else {**networks, "average": self.average}

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"adam_g": self.adam_g, "adam_d": self.adam_d}
