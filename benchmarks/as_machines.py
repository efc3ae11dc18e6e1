"""`python -m benchmarks.as_machines COMMAND` under mpiexec is textgru, as if each rank were on a machine of its own."""

from __future__ import annotations

from textgru.distributed.launch import set_up_mpi
from textgru.entry import main


def each_alone() -> None:
    set_up_mpi()
    from mpi4py import MPI

    import textgru.distributed.mpi

    textgru.distributed.mpi.of_this_machine = lambda everyone: MPI.COMM_SELF


if __name__ == "__main__":
    each_alone()
    main()
