"""A work shared among processes, on one machine or several, over MPI."""
