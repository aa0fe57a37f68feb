"""Threads, or processes, with memory that each takes and gives back."""

import ctypes
import mmap
import multiprocessing
import sys
import threading
import zlib
from multiprocessing import shared_memory


def work(number):
    total = 0
    for pages in range(1, 40):
        with mmap.mmap(-1, pages * 4096) as area:
            area[0] = number
            total += area[0]
        text = bytes(range(256)) * pages * 8
        total += zlib.crc32(zlib.compress(text))
    return total


def threads():
    all_threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in all_threads:
        thread.start()
    for thread in all_threads:
        thread.join()
    ctypes.CDLL(None).malloc_trim(0)


def processes():
    shared = shared_memory.SharedMemory(create=True, size=1 << 20)
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            pool.map(work, range(4))
    shared.close()
    shared.unlink()


if __name__ == "__main__":
    {"threads": threads, "processes": processes}[sys.argv[1]]()
