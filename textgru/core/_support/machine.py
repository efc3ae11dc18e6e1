"""What the machine gives this process: CPUs, by affinity and by a container's quota, and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path, PurePosixPath

CGROUP = Path("sys/fs/cgroup")


def available_cpus(root: Path = Path("/")) -> int:
    """The CPUs that this process may use: those of its affinity, no more than its control groups' quota, rounded up.

    `root` is where proc and sys/fs/cgroup are.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(root)
    return cpus if quota is None else max(1, min(cpus, ceil(quota)))


def cpu_quota(root: Path) -> float | None:
    """The CPUs that the control groups of this process (version 1 or 2) leave it, the least of all levels; or None."""
    quotas = [_quota_v2(group) if unified else _quota_v1(group) for unified, group in _groups(root, "cpu", "cpuacct")]
    return min((quota for quota in quotas if quota is not None), default=None)


def _groups(root: Path, controller: str, beside: str) -> Iterator[tuple[bool, Path]]:
    """The folders of this process's control groups that may limit it, and whether they are of version 2."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not path.startswith("/"):
            continue
        if not controllers:
            mounts = [root / CGROUP, root / CGROUP / "unified"]
        elif controller in controllers.split(","):
            names = (controller, f"{controller},{beside}", f"{beside},{controller}")
            mounts = [root / CGROUP / name for name in names]
        else:
            continue
        # In a container the path may be that of the host, and the group itself stand at the mount point.
        inside = PurePosixPath(path.lstrip("/"))
        for mount in mounts:
            for level in (inside, *inside.parents):
                if ".." not in level.parts:
                    yield not controllers, mount / level


def _quota_v2(group: Path) -> float | None:
    quota, _, period = _read(group / "cpu.max").strip().partition(" ")
    return _ratio(quota, period)


def _quota_v1(group: Path) -> float | None:
    return _ratio(_read(group / "cpu.cfs_quota_us").strip(), _read(group / "cpu.cfs_period_us").strip())


def _ratio(quota: str, period: str) -> float | None:
    """None for "max", -1, or what isn't there."""
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def memory_bytes(root: Path = Path("/")) -> int | None:
    """The memory that this process may use: the machine's, no more than its control groups' limit; None where neither
    says it. `root` as in available_cpus."""
    limits = []
    for unified, group in _groups(root, "memory", "memory"):
        limit = _read(group / ("memory.max" if unified else "memory.limit_in_bytes")).strip()
        limits += [int(limit)] if limit.isdecimal() else []
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        pages = size = 0
    limits += [pages * size] if pages > 0 and size > 0 else []
    return min(limits, default=None)
