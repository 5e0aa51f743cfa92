"""How much memory a process has taken at most, and a script run in a process of its own."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import torch

# Freed memory goes back to the system at once, so that the peak is of memory in use.
TIDY = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def peak(device):
    """The most memory in MiB until now: that of the device, or on a CPU that of the process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.exists():  # Linux: `ru_maxrss` would begin at the size of the parent process
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024)  # macOS: bytes


def printed_by_child(script, *arguments):
    """The number that a script prints, run in a fresh process."""
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | TIDY)
    return float(done.stdout)
