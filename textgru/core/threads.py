"""How many threads the core uses, and how long they wait for one another."""

from textgru.core._support.machine import available_cpus
from textgru.core._support.threads import get_num_threads, has_openmp, set_num_threads, wait_seconds

__all__ = ["available_cpus", "get_num_threads", "has_openmp", "set_num_threads", "wait_seconds"]
