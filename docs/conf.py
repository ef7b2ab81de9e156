"""How Sphinx builds the documentation: `make docs`, without the network."""

import posixpath
import re
import sys
from importlib.metadata import version as installed
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

project = "echo_exp"
author = "the authors of echo_exp"
release = installed("echo_exp")

extensions = [
    "myst_nb",
    "generated",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["examples/*.py", "_static"]
html_theme = "furo"
html_title = "echo_exp"
html_static_path = ["_static"]
html_css_files = ["page.css"]
html_theme_options = {
    name: {"code-font-size": "78%"} for name in ("light_css_variables", "dark_css_variables")
}
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False

# Markdown: the files are read on GitHub too.
myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 3

# The notebook is executed, and an error in it is an error of the build.
nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_merge_streams = True

# The reference: single backticks in docstrings name objects.
default_role = "py:obj"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True

napoleon_use_ivar = True
napoleon_use_rtype = False  # what is returned is a sentence

# Without the network no other project's names can be looked up, and single backticks also hold
# commands. Every name of this package must be found.
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(collections|keras|numpy|omegaconf|optuna|pandas|pathlib|pytorch_lightning|torch)\..*",
    ),
    ("py:.*", r"(np|nn|pl|pd)\..*|Tensor|DictConfig"),
    ("py:class", r"echo_exp\.task\.(data\.Loader|problem\.Windows)"),  # only for mypy
    ("py:obj", r"echo-exp.*|.*[^\w.].*"),
]


def setup(app: Sphinx) -> None:
    """Connects what follows with Sphinx."""
    app.connect("missing-reference", _by_last_name)
    app.connect("doctree-resolved", _name_pages)


def _by_last_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Finds a name of this package that is documented under a shorter or longer one."""
    target = node["reftarget"]
    if node.get("refdomain") != "py" or ("." in target and not target.startswith("echo_exp.")):
        return None
    last = target.rpartition(".")[2]
    objects = env.domains.python_domain.objects
    found = {o.node_id: o for name, o in objects.items() if name.rpartition(".")[2] == last}
    if len(found) != 1:
        return None
    (place,) = found.values()
    return make_refnode(app.builder, node["refdoc"], place.docname, place.node_id, content)


def _name_pages(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Calls a page by its title where a link calls it by its file, as one does on GitHub."""
    for link in tree.findall(nodes.reference):
        if re.fullmatch(r"\S+\.md", link.astext()) and link.get("internal"):
            path = link.get("refuri", "").partition("#")[0].removesuffix(".html")
            target = posixpath.join(posixpath.dirname(page), path)
            title = app.env.titles.get(posixpath.normpath(target))
            if title is not None:
                link.children = [nodes.Text(title.astext())]
