"""The site: ``python -m sphinx -W docs docs/_build``, or ``python -m nox -s docs``. It fetches nothing, ever."""

import os
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "examples"), str(HERE / "figures")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

import diffhist  # noqa: E402

project = "diffhist and huenet"
author = "The diffhist developers"
copyright = "The diffhist developers; MIT licence"
version = release = diffhist.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "matplotlib.sphinxext.plot_directive",
    "sphinx_copybutton",
    "mathml",
    "sources",
]
exclude_patterns = ["_build", "gallery/*.ipynb", "sg_execution_times.rst", "gallery/sg_execution_times.rst"]
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
default_role = "py:obj"
suppress_warnings = ["config.cache"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature has the defaults, and the docstring the shapes
numpydoc_show_class_members = False
python_maximum_signature_line_length = 80

html_theme = "furo"
html_title = f"diffhist {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_copy_source = False
html_show_search_summary = False  # which a browser does not fetch from a folder of files
pygments_style = "friendly"
pygments_dark_style = "native"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 110)]
plot_rcparams = {"savefig.bbox": "tight", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
plot_apply_rcparams = True

warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")  # where an example calls show


sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"/(?!larger_than_memory)\w+\.py",  # that one limits the memory of its process
    "ignore_pattern": r"(^|/)_|teaser",
    "copyfile_regex": r"^$",
    "reset_argv": "sources.arguments",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "remove_config_comments": True,
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "only_warn_on_example_error": False,
}
