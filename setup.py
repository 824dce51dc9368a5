"""metagrad's metadata: static, nothing here looks at the machine."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "metagrad/__init__.py").read_text("utf-8"), re.MULTILINE)
if VERSION is None:
    raise RuntimeError('[setup] requires a line `__version__ = "..."` in metagrad/__init__.py but got none')

# What compiles CUDA C++ and CUDA in Python; newer ones make code that a driver of 13.0 refuses.
COMPILERS = ["cuda-core", "nvidia-cuda-nvrtc>=13.0,<13.1", "numba-cuda", "nvidia-nvvm>=13.0,<13.1"]

# MuJoCo from 3.16 on warns of an attribute in Gymnasium's models.
RL = ["gymnasium>=1", "mujoco>=3.3,<3.16"]

setup(
    name="metagrad",
    version=VERSION[1],
    description="Gradients of gradients: reverse-mode automatic differentiation of any order, and meta-learning on it",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    author="metagrad contributors",
    license="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.11,<3.14",
    # `kernels/` is a source root, not a package: it holds the import package metagrad_kernels.
    packages=find_packages(include=["metagrad", "metagrad.*"]) + find_packages("kernels"),
    package_dir={"metagrad_kernels": "kernels/metagrad_kernels"},
    py_modules=["gymnasium_metagrad", "pytest_metagrad"],
    entry_points={
        "pytest11": ["pytest_metagrad = pytest_metagrad"],
    },
    package_data={
        "metagrad": ["py.typed", "figures.mplstyle", "inspect/page.*"],
        "metagrad_kernels": ["py.typed", "**/*.cu", "**/*.cuh", "**/*.h", "**/*.cpp"],
    },
    zip_safe=False,
    install_requires=["numpy>=2", "numba", "optree", "opt_einsum", "rich", "matplotlib", "pillow", "safetensors"],
    extras_require={
        "cuda": ["cupy-cuda13x", *COMPILERS, "nvidia-nvjitlink>=13.0,<13.1"],
        "rl": RL,
        "test": ["pytest", "pytest-xdist", "hypothesis", "selenium", "ruff", "mypy", "build", *COMPILERS, *RL],
        "oracle": ["torch", "jax"],
        "bench": ["torch", "jax", "autograd"],
        "docs": ["sphinx", "furo", "myst-parser", "sphinx-gallery", "nbclient", "ipykernel", "hypothesis", "pytest"],
    },
)
