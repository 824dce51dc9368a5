"""Products of matrices and tensors."""

from __future__ import annotations

import numpy as np

from metagrad.core.tensor import public
from metagrad.ops.affine import AffinePullback, affine
from metagrad.ops.contraction import Contract

from .table import Cases, real

CASES = Cases()
row = CASES.row

# Every way in which leading axes can meet.
for _x, _y in (
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (1, 3, 4)),
    ((1, 2, 3), (1, 3, 4)),
    ((1, 2, 3), (3, 4)),
    ((2, 3), (1, 3, 4)),
    ((2, 1, 2, 3), (5, 3, 4)),
    ((2, 1, 2, 3), (1, 5, 3, 2)),
    ((2, 5, 2, 3), (2, 1, 3, 2)),
    ((5, 2, 3), (3,)),
    ((1, 2, 3), (3,)),
    ((3,), (5, 3, 2)),
    ((2, 1), (1, 3)),
    ((1, 3), (3, 1)),
    ((2, 0), (0, 3)),
    ((0, 3), (3, 2)),
    ((0, 2, 3), (3, 2)),
):
    row("matmul", real(*_x), real(*_y), detail=f"{_x} @ {_y}")
row("matmul", real(3, 3), both=lambda xp, x: x @ x, detail="with itself")
row("matmul", real(2, 3), real(4, 3), both=lambda xp, x, y: x @ y.T, detail="transposed")
row("vecdot", real(2, 3), real(3), ref=np.vecdot)
row("vecdot", real(3, 2), real(3, 2), axis=0)
row("tensordot", real(2, 3, 4), real(3, 4, 5))
row("tensordot", real(2, 3), real(3, 2), axes=1)
row("tensordot", real(2), real(3), axes=0)
row(
    "tensordot",
    real(2, 3, 4),
    real(4, 5, 2),
    both=lambda xp, x, y: xp.tensordot(x, y, axes=((0, -1), (2, 0))),
    detail="named",
)
row("outer", real(2), real(3))
for _subscripts, _shapes in {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij,jk": ((2, 3), (3, 4)),
    "bij,bkj->bik": ((2, 3, 4), (2, 2, 4)),
    "ij,jk,k->i": ((2, 3), (3, 4), (4,)),
    "ii->i": ((3, 3),),
    "ii": ((3, 3),),
    "ij->ji": ((2, 3),),
    "ij->j": ((2, 3),),
    "ij,kl->i": ((2, 3), (4, 2)),
    "i,i->": ((3,), (3,)),
    "i,j->ji": ((2,), (3,)),
    "ij,ij->ij": ((2, 3), (2, 3)),
    "iij,jk->ik": ((3, 3, 2), (2, 4)),
    "...ij,...jk->...ik": ((5, 2, 3), (5, 3, 4)),
    "...i,i->...": ((2, 3), (3,)),
    "ab,bc,cd,de->ae": ((2, 3), (3, 2), (2, 4), (4, 2)),
    "i,i,i->i": ((3,), (3,), (3,)),
    ",i->i": ((), (3,)),
}.items():
    row("einsum", *[real(*s) for s in _shapes], both=lambda xp, *a, e=_subscripts: xp.einsum(e, *a), detail=_subscripts)

row("affine", real(2, 3), real(3, 4), real(4), f=public(affine), ref=lambda x, w, b: x @ w + b)
row("affine", real(3), real(3, 4), real(4), f=public(affine), ref=lambda x, w, b: x @ w + b, detail="vector")
row("affine", real(5, 2, 3), real(3, 4), real(4), f=public(affine), ref=lambda x, w, b: x @ w + b, detail="stack")
row("affine", real(0, 3), real(3, 4), real(4), f=public(affine), ref=lambda x, w, b: x @ w + b, detail="empty")
for _x, _g, _letters, _axes in (
    ((2, 3), (2, 4), ("az", "zy", "ay"), (1,)),
    ((3,), (4,), ("z", "zy", "y"), (0,)),
    ((5, 2, 3), (5, 2, 4), ("baz", "bzy", "bay"), (0, 2)),  # an offset for each task
    ((5, 2, 3), (5, 2, 4), ("baz", "bzy", "bay"), (2,)),  # one for all
):
    row(
        "affine_pullback",
        real(*_x),
        real(*_g),
        f=AffinePullback(Contract(*_letters), _axes),
        ref=lambda x, g, letters=_letters, axes=_axes: (
            np.einsum(f"{letters[0]},{letters[2]}->{letters[1]}", x, g),
            g.sum(tuple(k for k in range(g.ndim) if k not in axes)),
        ),
        detail=f"{_letters} {_axes}",
    )
