"""Pytrees: nested tuples, lists, dicts and named tuples of arrays. optree does the work; None is an empty subtree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import optree

if TYPE_CHECKING:
    from collections.abc import Callable


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """The leaves of a tree, and its structure."""
    leaves, structure = optree.tree_flatten(tree)
    return leaves, structure


def unflatten(structure: Any, leaves: list[Any]) -> Any:
    """The tree of a structure with other leaves."""
    return optree.tree_unflatten(structure, leaves)


def tree_map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """The tree of `function(leaf, *leaves of the others)`."""
    return optree.tree_map(function, tree, *rest)


def leaf_names(tree: Any) -> list[str]:
    """Where each leaf stands, written as the code that reads it: `['w'][0]`."""
    return ["".join(f"[{key!r}]" for key in path) for path in optree.tree_paths(tree)]


def broadcast_prefix(prefix: Any, tree: Any) -> list[Any]:
    """A value for each leaf of `tree`, from a tree that may stop earlier. None is a value here."""
    return optree.broadcast_prefix(prefix, tree, none_is_leaf=True)


def leaves_with_nones(tree: Any) -> list[Any]:
    """The leaves of a tree, each None among them."""
    return optree.tree_leaves(tree, none_is_leaf=True)
