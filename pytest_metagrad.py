"""The pytest plugin: a fixture that checks second derivatives. metagrad is imported when a test asks for it."""

from __future__ import annotations

import functools
import zlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def second_order(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`metagrad.testing.check_second_order`, with a seed that is the test's own.

    def test_my_layer(second_order):
        second_order(my_layer, (3, 2), (4, 3))  # shapes of its arguments
    """
    from metagrad.testing import check_second_order

    return functools.partial(check_second_order, seed=zlib.crc32(request.node.nodeid.encode()))
