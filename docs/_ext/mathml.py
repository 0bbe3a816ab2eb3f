"""Formulas as MathML, made at build by docutils: browsers draw it themselves, so no script and no font is fetched."""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def _mathml(node: nodes.Node, block: bool) -> str:
    try:
        return tex2mathml(node.astext().replace(r"\dots", r"\ldots"), as_block=block)
    except (MathError, SyntaxError) as error:
        logger.warning("no MathML for %r: %s", node.astext(), error, location=node)
        return f"<code>{node.astext()}</code>"


def _inline(self, node):
    self.body.append(_mathml(node, block=False))
    raise nodes.SkipNode


def _block(self, node):
    self.body.append(f'<div class="math">{_mathml(node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True}
