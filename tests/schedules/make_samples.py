#!/usr/bin/env python3
"""Writes the sample schedule files beside it: good ones with their profiles and plans, and broken ones.

    make_samples.py                    write good/, bad/ and roster.csv
    make_samples.py --check            say what differs from the committed files; exit 1 if anything does
    make_samples.py --large NAME OUT   the same shape for 500 agents and 4 weeks
    make_samples.py --rows N OUT       the table of docs/schedules.md with N rows
    make_samples.py --hostile KIND OUT a file that is meant to exhaust the reader; `--hostile list` names the kinds

It needs Python 3.11 and `openpyxl`, version 3.1.5. README.md explains the files and the keys of the profiles.
"""
import argparse
import csv
import io
import json
import pathlib
import sys
import zipfile

sys.dont_write_bytecode = True  # this folder is part of the checkout

import faults
import hostile
from sample import toml
from variants import PEOPLE, VARIANTS, build

HERE = pathlib.Path(__file__).resolve().parent


def compact(plan):
    """A plan as JSON with one shift a line: small, and readable in a diff."""
    dump = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    agents = []
    for agent in plan["agents"]:
        lead = dump({key: value for key, value in agent.items() if key != "shifts"})[:-1]
        shifts = ",\n".join(dump(shift) for shift in agent["shifts"])
        agents.append(f'{lead},"shifts":[' + (f"\n{shifts}\n" if shifts else "") + "]}")
    return '{"agents":[\n' + ",\n".join(agents) + "\n]}\n"


def roster():
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow("id user_name uuid employee_no login name team time_zone".split())
    for a in PEOPLE:
        writer.writerow([a.id, a.user_name, a.uuid, a.employee_no, a.login, a.name, a.team, a.zone])
    return out.getvalue().encode()


def files():
    """Every file that belongs into this folder, by its path."""
    made = {"roster.csv": roster()}
    for name, *_ in VARIANTS:
        sample = build(name)
        made[f"good/{name}.{sample.ext}"] = sample.encode()
        made[f"good/{name}.profile.toml"] = toml(sample.profile).encode()
        made[f"good/{name}.expected.json"] = compact(sample.expected()).encode()
    for fault in faults.all_of_them():
        for path, content in fault.files():
            assert path not in made or made[path] == content, f"{path} is written twice"
            made[path] = content
    return made


def same(path, content):
    old = path.read_bytes() if path.exists() else None
    if old == content or old is None or path.suffix != ".xlsx":
        return old == content
    # Another zlib compresses the same parts differently.
    try:
        with zipfile.ZipFile(io.BytesIO(old)) as a, zipfile.ZipFile(io.BytesIO(content)) as b:
            return a.namelist() == b.namelist() and all(a.read(n) == b.read(n) for n in a.namelist())
    except zipfile.BadZipFile:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--large", nargs=2, metavar=("NAME", "OUT"))
    parser.add_argument("--rows", nargs=2, metavar=("N", "OUT"))
    parser.add_argument("--hostile", nargs="+", metavar="KIND OUT")
    options = parser.parse_args()
    if options.large:
        return hostile.large(*options.large)
    if options.rows:
        return hostile.rows(int(options.rows[0]), options.rows[1])
    if options.hostile:
        return hostile.write(*options.hostile)
    made = files()
    present = {str(p.relative_to(HERE)) for folder in ("good", "bad") for p in (HERE / folder).glob("*")}
    differ = [name for name, content in made.items() if not same(HERE / name, content)]
    stray = sorted(present - set(made))
    if options.check:
        for name in differ:
            print(f"{name} is not what make_samples.py writes")
        for name in stray:
            print(f"{name} is not written by make_samples.py")
        return 1 if differ or stray else 0
    for name in stray:
        (HERE / name).unlink()
    for name in differ:
        (HERE / name).parent.mkdir(exist_ok=True)
        (HERE / name).write_bytes(made[name])
    print(f"{len(made)} files, {len(differ)} of them written, {len(stray)} removed")


if __name__ == "__main__":
    sys.exit(main())
