"""The page itself, in Gradio: where to drop, what to turn, what to see."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np

from huenet.app import studio
from huenet.methods.turn import KEEP
from huenet.transfer.methods import METHODS

__all__ = ["THEME", "page"]

THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # no fonts from elsewhere
DIALS = ("keep", "closeness", "strength", "saturation", "light", "smooth", "reg_m")  # as `recolor` calls them
# for the memory, and because warnings, which become notes, belong to the process
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "recolour"}
KEPT = 3600  # seconds that files of a session stay


def page(run: str | None = None) -> gr.Blocks:
    """The page; each request has its own files, and nothing is shared between sessions.

    `run` is of the network: a run folder of ``huenet.train``, in place of the weights that come with the package.
    """

    def options(method: str, *dials: Any) -> dict[str, Any]:
        return dict(zip(DIALS, dials, strict=True)) | {"method": method, "run": run}

    def preview(source: str | None, target: str | None, editor: dict[str, Any] | None, *dials: Any) -> Any:
        return _preview(source, target, editor, options(*dials))

    def finished(source: str | None, target: str | None, editor: dict[str, Any] | None, *dials: Any) -> Any:
        return _finished(source, target, editor, options(*dials))

    with gr.Blocks(title="huenet", analytics_enabled=False, delete_cache=(600, KEPT)) as blocks:
        gr.Markdown("# huenet\nPaint a picture with the colours of another. Nothing leaves this machine.")
        with gr.Row():
            source, target = (
                gr.Image(
                    label=label,
                    type="filepath",
                    image_mode=None,
                    sources=["upload", "clipboard"],
                    height=260,
                    elem_id=label.lower(),
                )
                for label in ("Source", "Target")
            )
        with gr.Row():
            method = gr.Dropdown(list(METHODS), value="huenet", label="Method")
            keep = gr.Radio(list(KEEP), value="light", label="Keep")
            closeness = gr.Slider(0, 1, METHODS["huenet"].options()["closeness"], step=0.05, label="Closeness")
            strength = gr.Slider(0, 2, 1, step=0.05, label="Strength")
        with gr.Row():
            saturation = gr.Slider(0, 1, 0, step=0.05, label="Saturation")
            light = gr.Slider(0, 1, 0, step=0.05, label="Light")
            free = METHODS["relaxed"].options()
            smooth = gr.Slider(0, 256, free["smooth"], step=1, label="Smooth", visible=False)
            reg_m = gr.Slider(0.01, 1, free["reg_m"], step=0.01, label="Cost of other shares", visible=False)
        result = gr.ImageSlider(label="Source and result", interactive=False, type="numpy", elem_id="result")
        with gr.Accordion("Where: paint what is to be recoloured", open=False):
            editor = gr.ImageEditor(
                label="Mask", type="numpy", sources=[], layers=False, transforms=[],
                brush=gr.Brush(colors=["#ffffff"], color_mode="fixed"),
            )  # fmt: skip
        hues = gr.Plot(label="Hues", show_label=False)
        button = gr.Button("Make at full size, and the .cube", variant="primary", elem_id="finish")
        files = gr.File(label="Download", file_count="multiple", interactive=False, elem_id="files", height=120)

        dials: list[Any] = [keep, closeness, strength, saturation, light, smooth, reg_m]
        inputs = [source, target, editor, method, *dials]
        method.change(_shown_for, method, dials)
        source.change(_told(_canvas), source, editor)
        changes = [source.change, target.change, editor.change, method.change, keep.change]
        releases = [dial.release for dial in dials[1:]]
        gr.on(
            [*changes, *releases], _told(preview), inputs, [result, hues], trigger_mode="always_last", **ONE_AT_A_TIME
        )
        button.click(_told(finished), inputs, files, **ONE_AT_A_TIME)
    return blocks


def _canvas(source: str | None) -> dict[str, Any] | None:
    picture = None if source is None else studio.shown(source)
    return None if picture is None else {"background": picture, "layers": [], "composite": picture}


def _shown_for(method: str) -> list[Any]:
    """The dials that a method has."""
    return [gr.update(visible=name in METHODS[method].options()) for name in DIALS]


def _preview(
    source: str | None, target: str | None, editor: dict[str, Any] | None, options: dict[str, Any]
) -> tuple[Any, Any]:
    if source is None or target is None:
        return None, None
    one, other = studio.shown(source), studio.shown(target)
    made, notes = studio.preview(one, other, _strokes(editor), options)
    for note in notes:
        gr.Info(note)
    return (one, made), studio.spectrum({"Source": one, "Target": other, "Result": made})


def _finished(
    source: str | None, target: str | None, editor: dict[str, Any] | None, options: dict[str, Any]
) -> list[str]:
    if source is None or target is None:
        raise ValueError("drop a source and a target first")
    return studio.finished(source, target, _strokes(editor), options)


def _strokes(editor: dict[str, Any] | None) -> np.ndarray | None:
    layers = (editor or {}).get("layers") or []
    return np.max([layer[..., 3] for layer in layers], axis=0) if layers else None


def _told(function: Callable) -> Callable:
    """The same, whose errors of input are shown as one line."""

    def told(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except ValueError as error:
            raise gr.Error(str(error)) from error

    return told
