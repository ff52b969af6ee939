"""Reads a Parquet file with DuckDB, which shares no code with what wrote it.

Takes the file's path. Writes one JSON object: rows, groups, types (by column), nulls (by column), sums (by column, as text: bytes of
texts, microseconds of instants, days since 1970 of dates), texts (the different ones of each column of text) and metadata (the file's own).
"""

import json
import sys

import duckdb

SUMMED = {
    "VARCHAR": "strlen({0})",
    "TIMESTAMP WITH TIME ZONE": "epoch_us({0})",
    "DATE": "date_diff('day', DATE '1970-01-01', {0})",
}


def judge(path):
    connection = duckdb.connect()

    def query(text):
        return connection.execute(text, [path]).fetchall()

    source = "FROM read_parquet(?)"
    types = {row[0]: row[1] for row in query(f"DESCRIBE SELECT * {source}")}
    nulls, sums, texts = {}, {}, {}
    for name, kind in types.items():
        column = f'"{name}"'
        summed = SUMMED.get(kind, "{0}").format(column)
        nulls[name], sums[name] = query(f"SELECT count(*) - count({column}), sum({summed})::VARCHAR {source}")[0]
        if kind == "VARCHAR":
            texts[name] = [row[0] for row in query(f"SELECT DISTINCT {column} {source} WHERE {column} IS NOT NULL ORDER BY 1")]
    metadata = query("SELECT decode(key), decode(value) FROM parquet_kv_metadata(?)")
    return {
        "rows": query(f"SELECT count(*) {source}")[0][0],
        "groups": query("SELECT count(DISTINCT row_group_id) FROM parquet_metadata(?)")[0][0],
        "types": types,
        "nulls": nulls,
        "sums": sums,
        "texts": texts,
        "metadata": [list(pair) for pair in metadata],
    }


print(json.dumps(judge(sys.argv[1])))
