"""Which CUDA GPU there is, asked of the driver itself: safe, fast, and without any package.

Parts of TensorRT crash the process where no GPU is there, so everything asks here first.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76  # CUdevice_attribute
NO_DEVICE = 100


@dataclass(frozen=True)
class Gpu:
    """The first CUDA GPU. memory: bytes. driver: CUDA version of the driver."""

    name: str
    capability: tuple[int, int]
    memory: int
    driver: str

    def __str__(self) -> str:
        return f"{self.name} {self.capability[0]}.{self.capability[1]}"


@cache
def find_gpu() -> Gpu | str:
    """The GPU, or in words why there is none. Asked once per process."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver (libcuda.so.1 is not there)"
    if error := cuda.cuInit(0):
        return (
            "the NVIDIA driver sees no GPU"
            if error == NO_DEVICE
            else f"cuInit failed with CUDA error {error}"
        )
    device, version, size = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    major, minor = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    for error in (
        cuda.cuDeviceGet(ctypes.byref(device), 0),
        cuda.cuDeviceGetName(name, len(name), device),
        cuda.cuDeviceGetAttribute(ctypes.byref(major), CAPABILITY_MAJOR, device),
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), CAPABILITY_MINOR, device),
        cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device),
        cuda.cuDriverGetVersion(ctypes.byref(version)),
    ):
        if error:
            return f"the NVIDIA driver answers with CUDA error {error}"
    driver = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return Gpu(name.value.decode(errors="replace"), (major.value, minor.value), size.value, driver)
