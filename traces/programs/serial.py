"""One thread: imports, buffers that come and go, a database, a tree of text, a buffer that grows."""

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

draw = random.Random(7)

kept = []
for _ in range(120):
    packed = zlib.compress(draw.randbytes(draw.randint(1_000, 200_000)), 1)
    buffer = mmap.mmap(-1, len(packed))
    buffer.write(packed)
    kept.append(buffer)
    if len(kept) > 8:
        kept.pop(draw.randrange(len(kept))).close()

base = sqlite3.connect(":memory:")
base.execute("create table measured (name text, value real)")
base.executemany("insert into measured values (?, ?)", [(str(draw.randrange(100)), draw.random()) for _ in range(20_000)])
answer = base.execute("select name, avg(value) from measured group by name order by 2").fetchall()

root = xml.etree.ElementTree.Element("root")
for number in range(3_000):
    xml.etree.ElementTree.SubElement(root, "item", number=str(number)).text = "x" * (number % 50)
text = xml.etree.ElementTree.tostring(root)
items = json.dumps([item.attrib for item in xml.etree.ElementTree.fromstring(text)])

grown = bytearray()
for _ in range(40):
    grown += draw.randbytes(150_000)

print(len(answer), hashlib.sha256(text).hexdigest()[:8], len(items), statistics.fmean(grown), len(packed))
