"""A layer over a sequence: the order of rows, sharing them among threads, passes by BLAS and by packed products."""
