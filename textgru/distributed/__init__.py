"""The work of one training shared among processes, on one machine or several, over MPI."""
