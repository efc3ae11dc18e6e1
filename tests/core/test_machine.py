"""The CPUs that a process may use, from made-up files of control groups."""

import os

import pytest

from textgru.core._support.machine import available_cpus, cpu_quota, memory_bytes

V2 = "0::/a/b\n"
V1 = "5:memory:/m\n3:cpu,cpuacct:/docker/1\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "quota"),
    [
        (V2, {}, None),
        (V2, {"a/b/cpu.max": "max 100000\n"}, None),
        (V2, {"a/b/cpu.max": "150000 100000\n"}, 1.5),
        (V2, {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "200000 100000\n"}, 2),
        (V2, {"cpu.max": "50000 100000\n"}, 0.5),
        (V2, {"a/b/cpu.max": "150000\n"}, None),
        (V2, {"a/b/cpu.max": "150000 0\n"}, None),
        (V2, {"a/b/cpu.max": "\x00\xff nonsense"}, None),
        ("0::/../../b\n", {"cpu.max": "300000 100000\n"}, 3),
        (V2, {"unified/a/b/cpu.max": "250000 100000\n"}, 2.5),
        (V1, {"cpu,cpuacct/docker/1/cpu.cfs_quota_us": "-1", "cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000"}, None),
        (
            V1,
            {"cpu,cpuacct/docker/1/cpu.cfs_quota_us": "70000", "cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000"},
            0.7,
        ),
        (V1, {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ("nonsense", {"cpu.max": "100000 100000"}, None),
    ],
)
def test_quotas(cgroup, files, quota, tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert cpu_quota(tmp_path) == quota


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
@pytest.mark.parametrize(("quota", "cpus"), [("50000", 1), ("110000", 2), ("300000", 3), ("100000000", 6), ("max", 6)])
def test_no_more_than_affinity_and_quota_rounded_up(quota, cpus, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    for name, text in (("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", f"{quota} 100000\n")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_cpus(tmp_path) == cpus


def test_without_files_there_is_no_quota(tmp_path):
    assert cpu_quota(tmp_path) is None
    assert available_cpus(tmp_path) >= 1


@pytest.mark.parametrize(
    ("cgroup", "files", "limit"),
    [
        (V2, {"a/b/memory.max": "5000\n", "a/memory.max": "4000\n"}, 4000),
        (V2, {"a/b/memory.max": "max\n"}, None),
        (V1, {"memory/m/memory.limit_in_bytes": "3000\n"}, 3000),
        (V1, {"memory/m/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ("", {}, None),
    ],
)
def test_memory(cgroup, files, limit, tmp_path):
    for name, text in {"proc/self/cgroup": cgroup, **{f"sys/fs/cgroup/{name}": files[name] for name in files}}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    machine = memory_bytes(tmp_path / "nothing")
    assert machine is not None
    assert memory_bytes(tmp_path) == (machine if limit is None else limit)
