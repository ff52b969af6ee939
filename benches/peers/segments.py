"""DuckDB over the segments that benches/adherence.rs leaves: `python benches/peers/segments.py SEGMENTS.csv`; needs `pip install duckdb`.

Times the same rows from its own table into a CSV file, and their sums by agent and verdict; each the best of three.
"""

import os
import sys
import tempfile
import time

import duckdb

source = sys.argv[1]
base = duckdb.connect()
base.execute(f"CREATE TABLE segments AS SELECT * FROM read_csv('{source}', header = true)")
(rows,) = base.execute("SELECT count(*) FROM segments").fetchone()


def best(work):
    def once():
        start = time.monotonic()
        work()
        return time.monotonic() - start

    return min(once() for _ in range(3))


with tempfile.TemporaryDirectory() as folder:
    target = os.path.join(folder, "segments.csv")

    def write():
        base.execute(f"COPY (SELECT * FROM segments ORDER BY agent, \"from\") TO '{target}' (HEADER)")
        with open(target, "rb+") as file:
            os.fsync(file.fileno())

    print(f"DuckDB {duckdb.__version__}: {rows} segments sorted into CSV: {best(write):.2f} s")

sums = "SELECT agent, verdict, sum(seconds) FROM segments GROUP BY ALL"
print(f"DuckDB {duckdb.__version__}: their sums by agent and verdict: {best(lambda: base.execute(sums).fetchall()):.3f} s")
