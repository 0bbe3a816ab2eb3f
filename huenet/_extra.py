"""Imported first by every module that needs the `huenet` extra: what is missing is one line that says what to do."""

import sys
from importlib.util import find_spec

needed = ("torch", "PIL", "skimage", "scipy", "matplotlib", "textalloc", "jinja2", "tqdm", "safetensors", "tifffile")
missing = [name for name in needed if find_spec(name) is None]
if missing:
    message = f"huenet needs {', '.join(missing)}: pip install 'diffhist[huenet]'"
    options = sys.orig_argv[1:]
    program = options[options.index("-m") + 1] if "-m" in options[:-1] else ""
    if program.startswith("huenet."):  # python -m huenet.train, where a traceback says nothing more
        print(f"{program}: {message}", file=sys.stderr)
        sys.exit(2)
    raise ImportError(message)
