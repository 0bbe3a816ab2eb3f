"""Imported first by every module that needs the `huenet` extra: what is missing is one line that says what to do."""

from importlib.util import find_spec

missing = [name for name in ("torch", "PIL", "skimage", "matplotlib", "tqdm", "safetensors") if find_spec(name) is None]
if missing:
    raise ImportError(f"huenet needs {', '.join(missing)}: pip install 'diffhist[huenet]'")
