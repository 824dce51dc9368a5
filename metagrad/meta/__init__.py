"""Meta-learning: adaptation as an unrolled inner loop, MAML, and a trainer that can be stopped at any moment."""

from __future__ import annotations

from .adaptation import adapt, all_but
from .maml import MAML, State, meta_loss
from .metrics import read_metrics
from .trainer import Interrupted, Trainer, output_folder

__all__ = ["MAML", "Interrupted", "State", "Trainer", "adapt", "all_but", "meta_loss", "output_folder", "read_metrics"]
