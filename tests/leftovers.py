"""What a lab must not leave behind."""

from __future__ import annotations

from pathlib import Path

from topology.lab import Lab


def left_of(lab: Lab) -> list[str]:
    """Namespaces, cgroups, mounts and files that are still there of a lab."""
    spaces = [str(path) for path in Path("/run/netns").glob(f"{lab.runtime.id}-*")]
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{lab.runtime.id}-*")]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if lab.runtime.id in line]
    files = [str(path) for path in (lab.runtime.state, lab.folder) if path.exists()]
    return [*spaces, *groups, *mounts, *files]
