"""Checkpoints that survive a kill, a full disk and time: safetensors with JSON beside the tensors, never a pickle.

A file is written under a temporary name, flushed to the disk and only then renamed, so that the last good one is
there at every instant.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

__all__ = [
    "CHECKPOINT",
    "MODEL",
    "CheckpointError",
    "load",
    "load_optimizer",
    "optimizer_tensors",
    "rng_tensors",
    "save",
    "set_rng",
    "write_text",
]

CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"  # the generator alone, for those who only want to recolour


class CheckpointError(RuntimeError):
    """A checkpoint that could not be written or read; the message is one line that says what to do."""


def save(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write `tensors` and the JSON-able `meta` to `path`, atomically.

    Raises
    ------
    CheckpointError
        The disk is full or the folder cannot be written to. What was at `path` is still there.
    """
    owned = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    # one entry: safetensors writes several in any order, and the same weights have to be the same file
    header = {"meta": json.dumps({**meta, "checksum": _checksum(owned)})}
    _replace(path, lambda temporary: save_file(owned, temporary, header))


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, atomically; errors as for `save`."""
    _replace(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def load(path: Path, device: str | torch.device = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read back what `save` wrote.

    Raises
    ------
    CheckpointError
        There is no such file, or it is no checkpoint of this program, or a byte of it is not what was written.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            meta = json.loads((file.metadata() or {})["meta"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        if meta.pop("checksum", None) not in (None, _checksum(tensors)):
            raise ValueError("damaged: not the numbers that were written")
        return tensors, meta
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is not a readable checkpoint ({_line(error)}); choose another run") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state of every parameter, by the parameter's number; its rates and momenta are configuration."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i, entry in state.items() for name, value in entry.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        i = int(number)
        if value.shape == parameters[i].shape:  # the file is contiguous; fused Adam needs the parameter's own strides
            value = torch.empty_like(parameters[i], dtype=value.dtype).copy_(value)
        state.setdefault(i, {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def rng_tensors() -> dict[str, Tensor]:
    """torch's random states, CPU and the current CUDA device."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_rng(states: Mapping[str, Tensor]) -> None:
    """The inverse of `rng_tensors`."""
    torch.set_rng_state(states["cpu"].cpu())
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """Of names and bytes: safetensors has none, and a wrong bit in a weight is a picture in wrong colours."""
    total = 0
    for name in sorted(tensors):
        data = tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        total = zlib.crc32(data.data, zlib.crc32(name.encode(), total))
    return f"{total:08x}"


def _replace(path: Path, write: Any) -> None:
    folder = path.with_name(f".{path.name}.tmp")  # for safetensors' own temporary file too, which a kill leaves behind
    temporary = folder / path.name
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write(temporary)
        temporary.chmod(folder.stat().st_mode & 0o666)  # safetensors' own are for their owner alone
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot write {path} ({_line(error)}); free some space or choose another --out"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last, where the system lets a folder be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
