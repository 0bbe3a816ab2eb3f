"""Everything that needs an environment of its own, one command each: ``python -m nox -s NAME`` (``-l`` lists them).

``oldest`` and ``newest`` hold the ends of the range of versions that pyproject.toml promises; what it says is what is
installed. uv makes the environments where it is there, and pip otherwise.
"""

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests"]
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
EXTRAS = PROJECT["optional-dependencies"]
QUIET = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "CI": "1"}
TOOLS = ("ruff", "mypy", "triton")  # of the extra `test`, what tests neither old nor new versions


def requirements(*extras: str) -> list[str]:
    """What the project and its ``extras`` need, as pyproject.toml has it."""
    wanted = PROJECT["dependencies"] + [r for extra in extras for r in EXTRAS[extra]]
    return sorted({r.partition(";")[0].strip() for r in wanted if not r.startswith(TOOLS)})


def lowest(requirement: str) -> str:
    return requirement.replace(">=", "==")


@nox.session
def tests(session: nox.Session) -> None:
    """The quick suite (`-- -m ''`: all of it) as in development."""
    session.install("-c", "constraints.txt", "-e", ".[huenet,test]")
    session.run("python", "-m", "pytest", "-n", "auto", *session.posargs, env=QUIET)


@nox.session(python="3.10")
def oldest(session: nox.Session) -> None:
    """diffhist on the oldest versions that it promises, without torch, whose old Linux builds bring CUDA along."""
    session.install(*(lowest(r) for r in requirements("jax", "test")))
    session.install("--no-deps", "-e", ".")
    session.run("python", "-m", "pytest", "tests/diffhist", *session.posargs, env=QUIET)


@nox.session(python="3.10", name="oldest-torch")
def oldest_torch(session: nox.Session) -> None:
    """The same with torch (several gigabytes on Linux, unless pip is told of a CPU build)."""
    session.install(*(lowest(r) for r in requirements("torch", "jax", "test")))
    session.install("--no-deps", "-e", ".")
    session.run("python", "-m", "pytest", "tests/diffhist", *session.posargs, env=QUIET)


@nox.session(python="3.13")
def newest(session: nox.Session) -> None:
    """diffhist on the newest releases there are, those of torch left to constraints.txt."""
    session.install("--upgrade", "-c", "constraints.txt", *requirements("torch", "jax", "test"))
    session.install("--no-deps", "-e", ".")
    session.run("python", "-m", "pytest", "tests/diffhist", *session.posargs, env=QUIET)


@nox.session
def elsewhere(session: nox.Session) -> None:
    """The quick suite without what Windows lacks: fcntl, resource, fork and the like."""
    session.install("-c", "constraints.txt", "-e", ".[huenet,test]")
    session.run("python", "-m", "pytest", "-p", "elsewhere", *session.posargs, env=QUIET | {"PYTHONPATH": "tests"})


@nox.session
def types(session: nox.Session) -> None:
    """How much of what is public has types: all of it, or this fails."""
    session.install("-c", "constraints.txt", ".[huenet]", "pyright")
    session.run("pyright", "--verifytypes", "diffhist", "--ignoreexternal")


@nox.session
def package(session: nox.Session) -> None:
    """Wheel and sdist in dist/, checked; the wheel made from the sdist is the one made from the tree."""
    session.install("build", "twine", "check-wheel-contents")
    scratch = session.create_tmp()
    shutil.rmtree("dist", ignore_errors=True)  # of another version, maybe
    session.run("python", "-m", "build", "--quiet", "--outdir", "dist")  # an sdist, and the wheel of that sdist
    session.run("python", "-m", "build", "--quiet", "--wheel", "--outdir", scratch)
    (wheel,) = Path("dist").glob("*.whl")
    session.run("cmp", str(wheel), str(Path(scratch, wheel.name)), external=True)
    session.run("twine", "check", "--strict", *map(str, Path("dist").iterdir()))
    session.run("check-wheel-contents", str(wheel))


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in docs/_build; a warning is an error."""
    session.install("-c", "constraints.txt", "-e", ".[huenet,docs]")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "docs", "docs/_build", env=QUIET)
