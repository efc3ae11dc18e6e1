"""What the machine gives this process: CPUs, by affinity and by a container's quota, and memory."""

from __future__ import annotations

import os
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
    quotas = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not path.startswith("/"):
            continue
        if not controllers:
            mounts, read = [root / CGROUP, root / CGROUP / "unified"], _quota_v2
        elif "cpu" in controllers.split(","):
            mounts, read = [root / CGROUP / name for name in ("cpu", "cpu,cpuacct", "cpuacct,cpu")], _quota_v1
        else:
            continue
        # In a container the path may be that of the host, and the group itself stand at the mount point.
        inside = PurePosixPath(path.lstrip("/"))
        for mount in mounts:
            quotas += [read(mount / level) for level in (inside, *inside.parents) if ".." not in level.parts]
    limits = [quota for quota in quotas if quota is not None]
    return min(limits) if limits else None


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


def memory_bytes() -> int | None:
    """The machine's memory, or None where it doesn't say."""
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    return pages * size if pages > 0 and size > 0 else None
