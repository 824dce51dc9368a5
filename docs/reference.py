"""What the API pages need of Sphinx: a directive that lists public names, and docstrings as reStructuredText."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from public import ROOMS, kind, public
from sphinx.addnodes import pending_xref
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class Public(SphinxDirective):
    """The names of a module that stand in its content: a table of them, then each with its docstring."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        names = [f"{self.arguments[0]}.{name}" for name in " ".join(self.content).split()]
        things = {full: public()[full] for full in names}
        listed = {full: thing for full, thing in things.items() if kind(thing) != "data"}
        lines = [".. list-table::", "   :class: summary", "   :widths: auto", ""] if len(listed) > 1 else []
        for full, thing in listed.items() if lines else ():
            lines += [f"   * - :py:obj:`{full.rpartition('.')[2]} <{full}>`", f"     - {_summary(full, thing)}"]
        for full, thing in things.items():
            lines += ["", *_entry(full, thing)]
        node = nodes.container()
        self.state.nested_parse(StringList(lines, self.get_source_info()[0]), self.content_offset, node)
        return node.children


def _entry(full: str, thing: Any) -> list[str]:
    if kind(thing) == "class":
        return [f".. autoclass:: {full}", "   :members:", "   :member-order: bysource"]
    if kind(thing) == "function":
        return [f".. autofunction:: {full}"]
    if inspect.isclass(thing):
        return [f".. py:data:: {full}", "", f"   NumPy's ``{thing.__name__}``."]
    return [f".. py:data:: {full}", f"   :value: {thing!r}"]


def _summary(full: str, thing: Any) -> str:
    """The first sentence of a docstring, on one line."""
    paragraph = re.split(r"\n\s*\n", inspect.getdoc(thing) or "")[0]
    return _plain(re.split(r"(?<=\S[.])\s+(?=[A-Z])", " ".join(paragraph.split()))[0], full, thing)


def as_rst(app: Sphinx, what: str, full: str, thing: Any, options: Any, lines: list[str]) -> None:
    """A docstring as reStructuredText. Examples, from >>> to the next empty line, stay as they are."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
    lines[:] = "\n\n".join(p if ">>>" in p else _plain(p, full, thing) for p in paragraphs).split("\n")


def readable(
    app: Sphinx, what: str, full: str, thing: Any, options: Any, arguments: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Defaults that are classes and functions by their names."""
    return arguments and re.sub(r"<(?:class|function) '?([\w.]+)[^>]*>", r"\1", arguments), returns


def _plain(text: str, full: str, thing: Any) -> str:
    """A paragraph of plain text with `code`, as reStructuredText: what is code is a link where it is public."""
    if text.startswith("Attributes:\n"):
        text = re.sub(r"^(\w+): ", r":ivar \1: ", textwrap.dedent(text.partition("\n")[2]), flags=re.MULTILINE)
    parameters = _parameters(thing)
    parts = re.split(r"`([^`]+)`", text)
    markup = (
        r"(?m)^(?=\w\.(?:\s|$))|(?=[\\*|])|(?=_(?!\w))"  # `x.` at the beginning of a line would be an item of a list
    )
    escaped = [re.sub(markup, r"\\", part) for part in parts[::2]]
    parts[::2] = [re.sub(r"\b[A-Z]\w+Error\b", lambda m: _error(m[0]), part) for part in escaped]
    parts[1::2] = [_code(re.sub(r"\s+", " ", part), full, parameters) for part in parts[1::2]]
    return "".join(parts)


def _error(name: str) -> str:
    """A link to an error of ours, from wherever it is raised; other errors are words."""
    found = (full for full in public() if full.rpartition(".")[2] == name)
    return next((f":py:exc:`{name} <{full}>`" for full in found), name)


def _parameters(thing: Any) -> set[str]:
    try:
        return set(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return set()


def _code(text: str, name: str, parameters: set[str]) -> str:
    """Text in backticks: a link for a public name that is not the object's own, nor one of its parameters."""
    short = re.sub(r"^(mg|metagrad)\.", "", text)
    if short not in parameters:
        rooms = sorted((room for room in ROOMS if f"{name}.".startswith(f"{room}.")), key=len, reverse=True)
        for full in (f"{room}.{short}" for room in rooms):
            if full in public() and full != name and kind(public()[full]) not in ("module", "data"):
                return f":py:obj:`{text} <{full}>`"
    return f"``{text}``"


def link_code(app: Sphinx, page: nodes.document) -> None:
    """Where a page's text has `mg.name`, or a call of it, as code: a link to it."""
    for code in list(page.findall(nodes.literal)):
        named = re.fullmatch(r"mg\.([\w.]+)(\(.*\))*", code.astext())
        if named and f"metagrad.{named[1]}" in public() and not isinstance(code.parent, nodes.reference | pending_xref):
            target = {"refdomain": "py", "reftype": "obj", "reftarget": f"metagrad.{named[1]}", "refexplicit": True}
            code.replace_self(pending_xref("", code.deepcopy(), refdoc=app.env.docname, refwarn=True, **target))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("public", Public)
    app.connect("doctree-read", link_code)
    app.connect("autodoc-process-docstring", as_rst)
    app.connect("autodoc-process-signature", readable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
