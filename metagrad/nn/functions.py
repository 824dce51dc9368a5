"""Activations, pooling, dropout and losses for users: those of `ops`, with the boundary around them."""

from __future__ import annotations

from ..core.tensor import public
from ..ops import activations, convolution, exponential, losses, normalization, pooling
from ..ops import dropout as dropping

elu = public(activations.elu)
gelu = public(activations.gelu)
leaky_relu = public(activations.leaky_relu)
log_softmax = public(activations.log_softmax)
relu = public(activations.relu)
sigmoid = public(activations.sigmoid)
silu = public(activations.silu)
softmax = public(activations.softmax)
softplus = public(activations.softplus)
tanh = public(exponential.tanh)

conv2d = public(convolution.conv2d)
conv2d_transpose = public(convolution.conv2d_transpose)

batch_norm = public(normalization.batch_norm)
group_norm = public(normalization.group_norm)
layer_norm = public(normalization.layer_norm)

avg_pool2d = public(pooling.avg_pool2d)
global_avg_pool2d = public(pooling.global_avg_pool2d)
global_max_pool2d = public(pooling.global_max_pool2d)
max_pool2d = public(pooling.max_pool2d)

dropout = public(dropping.dropout)

mean_squared_error = public(losses.mean_squared_error)
softmax_cross_entropy = public(losses.softmax_cross_entropy)
