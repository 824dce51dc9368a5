"""The names under which Gymnasium makes our environments."""

from __future__ import annotations

from .requirements import need


def register() -> None:
    """Make our environments known to Gymnasium; to call it again does nothing.

    They are metagrad/Navigation2D-v0, HalfCheetahDirection-v0, HalfCheetahVelocity-v0, AntDirection-v0 and
    AntVelocity-v0. `import gymnasium_metagrad` does the same, and so does that name before a colon:
    `gymnasium.make("gymnasium_metagrad:metagrad/AntVelocity-v0")`. Raises OptionError where Gymnasium is not installed.

    >>> import gymnasium
    >>> from metagrad import rl
    >>> rl.register()
    >>> env = gymnasium.make("metagrad/Navigation2D-v0")
    >>> observation, info = env.reset(seed=0)
    >>> env.unwrapped.task.shape
    (2,)
    """
    need("gymnasium")
    need("gymnasium_metagrad")
