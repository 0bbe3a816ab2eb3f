"""The command line: ``huenet app`` serves the page on this machine."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import argparse
import os
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from huenet._parser import Parser
from huenet._signals import ended_cleanly

__all__ = ["main", "served"]

LARGEST = "250mb"
# the browser itself keeps the page from asking anyone but this machine
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C. Wrong input, or a missing extra: one line and status 2."""
    parser = _parser()
    options = parser.parse_args(argv)
    if find_spec("gradio") is None:
        parser.error("needs gradio: pip install 'diffhist[huenet,app]'")
    if options.run:
        from huenet.model.checkpoint import CheckpointError
        from huenet.model.inference import load_generator

        try:
            load_generator(options.run)
        except CheckpointError as error:
            parser.error(str(error))
    with (
        ended_cleanly(),
        tempfile.TemporaryDirectory(prefix="huenet-app-") as folder,
    ):
        # gone at the end, with every picture
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
        tempfile.tempdir = folder
        import uvicorn

        print(f"huenet app: http://{options.host}:{options.port} (Ctrl-C ends it, and deletes its files)", flush=True)
        try:
            app = served(options.host, options.port, options.run)
            uvicorn.run(
                app, host=options.host, port=options.port, log_level="warning", timeout_graceful_shutdown=2
            )  # fmt: skip
        except KeyboardInterrupt:
            return 0
        except SystemExit as stop:
            if stop.code in (1, 3):  # the port is taken; uvicorn has said so
                return 2
            raise
        finally:
            tempfile.tempdir = None
    return 0


def served(host: str, port: int, run: str | None = None) -> Any:
    """The page as an ASGI application that lets a browser ask nobody else."""
    import gradio
    from fastapi import FastAPI

    from huenet.app.page import THEME, page

    app = FastAPI()

    @app.middleware("http")
    async def _(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return gradio.mount_gradio_app(
        app, page(run), "/", server_name=host, server_port=port, theme=THEME, max_file_size=LARGEST, ssr_mode=False,
        footer_links=[], show_error=True,
    )  # fmt: skip


def _parser() -> Parser:
    parser = Parser(
        prog="huenet app",
        description="A page in the browser to try colour transfer on: drop a source and a target.\n"
        "Everything is computed on this machine, and every file is deleted at the end.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=7860, help="port (default: 7860)")
    parser.add_argument(
        "--run", metavar="FOLDER", help="run folder of huenet train (default: the weights that come with the package)"
    )
    return parser
