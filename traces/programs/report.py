"""Imports much of the standard library, then works in threads: the program of the default trace."""

import concurrent.futures
import ctypes  # noqa: F401  the imports are a part of the work
import decimal  # noqa: F401
import email.message  # noqa: F401
import hashlib
import http.client  # noqa: F401
import json
import mmap
import random
import sqlite3
import statistics
import xml.etree.ElementTree
import zlib


def compress(seed):
    """Compresses blocks of different sizes in buffers of their own."""
    draw = random.Random(seed)
    kept = []
    for _ in range(90):
        block = draw.randbytes(draw.randint(1_000, 120_000))
        packed = zlib.compress(block, 1)
        buffer = mmap.mmap(-1, len(packed))
        buffer.write(packed)
        kept.append(buffer)
        if len(kept) > 8:
            kept.pop(draw.randrange(len(kept))).close()
    return hashlib.sha256(packed).hexdigest()


def query(seed):
    """Fills a database in memory and asks it."""
    base = sqlite3.connect(":memory:")
    base.execute("create table measured (name text, value real)")
    draw = random.Random(seed)
    rows = [(str(draw.randrange(100)), draw.random()) for _ in range(6_000)]
    base.executemany("insert into measured values (?, ?)", rows)
    answer = base.execute("select name, avg(value) from measured group by name order by 2").fetchall()
    return statistics.fmean(value for _, value in answer)


def document(seed):
    """Builds a tree, writes it as text and reads it back."""
    root = xml.etree.ElementTree.Element("root")
    for number in range(1_500):
        xml.etree.ElementTree.SubElement(root, "item", number=str(number * seed)).text = "x" * (number % 50)
    text = xml.etree.ElementTree.tostring(root)
    return len(json.dumps([item.attrib for item in xml.etree.ElementTree.fromstring(text)]))


with concurrent.futures.ThreadPoolExecutor(6) as pool:
    jobs = [pool.submit(work, seed) for seed in range(1, 11) for work in (compress, query, document)]
    print(len({str(job.result()) for job in jobs}), "results")
