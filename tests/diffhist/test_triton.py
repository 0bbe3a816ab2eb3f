"""The fused kernels without a GPU: their maths in Triton's interpreter, and that they compile for NVIDIA's devices.

What needs a device is in `test_devices.py`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
triton = pytest.importorskip("triton", "3.5")

from diffhist._evaluation import fused  # noqa: E402
from diffhist._evaluation import triton as _triton  # noqa: E402
from diffhist._evaluation.kernel import Axis  # noqa: E402

TYPES = {torch.float32: "*fp32", torch.float16: "*fp16", torch.int16: "*i16", torch.int32: "*i32", torch.int64: "*i64"}
KERNELS = ("locate", "spread", "combine", "gather")


def test_in_the_interpreter(request):
    """The interpreter is chosen when Triton is imported: a process of its own."""
    tests = Path(__file__).with_name("interpreted.py")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        request.config.option.markexpr,
        str(tests),
    ]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tests.parent.parent)
    if done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED:
        pytest.skip(f"Triton {triton.__version__} does not interpret with this NumPy")
    assert done.returncode == 0, done.stdout + done.stderr


def test_devices_without_the_kernels(monkeypatch):
    """Array code is what remains, without a complaint."""
    ampere, turing = (torch.device("cuda", n) for n in (0, 1))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0) if device == ampere else (7, 5))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(fused, "_check", lambda fused, device: None)
    ask = fused._kernels_on.__wrapped__  # what it answers is kept
    assert ask(ampere) is _triton
    assert ask(turing) is ask(torch.device("cpu")) is None
    with monkeypatch.context() as older:
        older.setattr(triton, "__version__", "3.4.1")
        assert ask(ampere) is None
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "triton", None)
        assert ask(ampere) is None
    with monkeypatch.context() as failing:

        def fail(fused, device):
            raise RuntimeError("no kernel image is available")

        failing.setattr(fused, "_check", fail)
        with pytest.warns(UserWarning, match="array code on cuda:0, .* no kernel image is available"):
            assert ask(ampere) is None
    monkeypatch.setattr(torch.version, "cuda", None)  # AMD
    assert ask(ampere) is None


class Recorded:
    """A kernel that, launched, only notes its arguments."""

    def __init__(self, kernel, launches):
        self.kernel, self.launches = kernel, launches

    def __getitem__(self, grid):
        return lambda *arguments, **constants: self.launches.append((self.kernel, arguments, constants))


def launches(monkeypatch, x, y, weights, axes, orders):
    """What evaluating this would launch."""
    noted = []
    for name in KERNELS:
        monkeypatch.setattr(_triton.kernels, name, Recorded(getattr(_triton.kernels, name), noted))
    coordinates = [x] if y is None else [x, y]
    _triton.spread(coordinates, None if weights is None else weights[:, None], axes, [orders])
    h = torch.zeros((len(x), *(a.bins for a in axes)))
    _triton.gather(h, coordinates, axes, [orders])
    monkeypatch.undo()
    return noted


def compiled(kernel, arguments, constants, capability):
    """As Triton compiles a launch: pointers aligned, None and 1 built in."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    options = {key: constants[key] for key in constants if key not in kernel.arg_names}
    built_in = {key: constants[key] for key in constants if key in kernel.arg_names}
    signature, aligned = {}, {}
    for n, (name, value) in enumerate(zip(kernel.arg_names, arguments, strict=False)):
        if isinstance(value, torch.Tensor):
            signature[name] = TYPES[value.dtype]
            aligned[(n,)] = [["tt.divisibility", 16]]
        elif value is None or (isinstance(value, int) and value == 1):
            built_in[name] = value
        else:
            signature[name] = "i32" if isinstance(value, int) else "fp32"
    signature |= dict.fromkeys(built_in, "constexpr")
    ordered = {name: signature[name] for name in kernel.arg_names}
    source = ASTSource(kernel, ordered, built_in, aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


CASES = {
    "joint": ((256, 256), (0.4, 0.4), ("circular", "reflect"), (0, 0), 4096),
    "slopes": ((256, 40), (0.4, 0.9), ("reflect", "open"), (1, 2), 4096),
    "one axis": ((256,), (0.4,), ("open",), (0,), 4096),
    "wide": ((256,), (15.0,), ("reflect",), (1,), 4096),
    "smallest": ((1, 1), (0.01, 0.01), ("open", "open"), (0, 0), 1),
}


@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.parametrize("capability", [80, pytest.param(90, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CASES)
def test_kernels_compile(monkeypatch, tmp_path, name, capability):
    bins, widths, boundaries, orders, pixels = CASES[name]
    axes = [Axis(k, 0.0, 1 / k, width, boundary) for k, width, boundary in zip(bins, widths, boundaries, strict=True)]
    x = torch.zeros(1, pixels)
    weights = torch.zeros(1, pixels, dtype=torch.float16) if name == "slopes" else None
    noted = launches(monkeypatch, x, x if len(axes) == 2 else None, weights, axes, orders)
    assert [kernel.__name__ for kernel, *_ in noted] == list(KERNELS)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for kernel, arguments, constants in noted:
        machine_code = compiled(kernel, arguments, constants, capability)
        assert machine_code.asm["cubin"]
        if kernel.__name__ == "spread" and len(axes) == 2:
            assert "mma" in machine_code.asm["ptx"]  # the tensor cores
        assert "atom" not in machine_code.asm["ptx"]  # nobody waits for anybody
