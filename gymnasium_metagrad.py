"""Import this, and Gymnasium knows metagrad's environments by their names. metagrad is imported when one is made.

gymnasium.make("gymnasium_metagrad:metagrad/Navigation2D-v0")
"""

from __future__ import annotations

import gymnasium

ENVIRONMENTS = {
    "metagrad/Navigation2D-v0": {"family": "Navigation"},
    "metagrad/HalfCheetahDirection-v0": {"family": "HalfCheetah", "task": "direction"},
    "metagrad/HalfCheetahVelocity-v0": {"family": "HalfCheetah", "task": "velocity"},
    "metagrad/AntDirection-v0": {"family": "Ant", "task": "direction"},
    "metagrad/AntVelocity-v0": {"family": "Ant", "task": "velocity"},
}

for name, options in ENVIRONMENTS.items():
    gymnasium.register(name, entry_point="metagrad.rl.environment:make", kwargs=dict(options))
