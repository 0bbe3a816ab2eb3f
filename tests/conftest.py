"""Every test that asks for `xp` runs once for each array library at hand."""

import importlib
import os
import signal

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

LIBRARIES = ("numpy", "torch", "array_api_strict", "jax.numpy", "cupy")

# read when JAX is first imported; compiling is what takes the time in its tests
os.environ |= {"JAX_ENABLE_X64": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}

# `xp` is the same module in every example, so sharing it between examples is no hazard
_common = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}
settings.register_profile("default", max_examples=40, **_common)
settings.register_profile("ci", max_examples=40, derandomize=True, **_common)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def load(name):
    """The namespace of an array library, or a skip that says why there is none."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed")
    if name == "torch":
        module.set_num_threads(1)
    if name == "cupy" and not _cuda_devices(module):
        pytest.skip("cupy finds no CUDA device")
    return module


def _cuda_devices(cupy):
    try:
        return cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        return 0


def pytest_configure():
    """Processes that tests start heed the signals that `nohup` or a shell's `&` has this one ignore: that is inherited,
    and a handler is not."""
    for number in (getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """JAX compiles every case anew, seconds for each: the quick run takes test_jax.py and the circular formulas, in the
    dtype in which JAX comes."""
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        quick = (
            item.name.startswith("test_equation")
            and params.get("boundary") == "circular"
            and params.get("dtype") == "float32"
        )
        if params.get("xp") == "jax.numpy" and not quick:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """For `-n auto`: each takes a gigabyte, and the longest file is not shorter on more."""
    return min(os.cpu_count() or 1, 8)


def pytest_runtest_setup(item):
    if item.get_closest_marker("posix") and not hasattr(os, "fork"):
        pytest.skip("for POSIX systems")


@pytest.fixture(params=LIBRARIES)
def xp(request):
    return load(request.param)


@pytest.fixture
def torch():
    return load("torch")


@pytest.fixture
def cupy():
    return load("cupy")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def hues():
    """Hue channels, 128 x 128 in [0, 1), of photographs inside scikit-image's own wheel: name -> float64 array."""
    data = pytest.importorskip("skimage.data")
    color = pytest.importorskip("skimage.color")
    corners = {"astronaut": (0, 130), "chelsea": (44, 120), "coffee": (120, 200), "rocket": (100, 200)}
    return {
        name: np.ascontiguousarray(color.rgb2hsv(getattr(data, name)()[i : i + 256 : 2, j : j + 256 : 2])[..., 0])
        for name, (i, j) in corners.items()
    }
