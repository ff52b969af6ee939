"""Files that are not committed: large ones for measurements, and ones that are meant to exhaust a reader."""
import csv
import datetime as dt
import io
import json
import sys
import uuid
import zipfile
from dataclasses import replace

import truth
from sample import toml
from variants import build

COLUMNS = "agent_id,agent_name,team,time_zone,activity,start,end,mandatory\n"


def crowd(people, count):
    """As many agents as wanted, each a copy of one of the sample's own, under a name and keys of its own."""
    for n in range(count):
        model = people[n % len(people)]
        yield replace(model, id=f"u_{100000 + n}", user_name=f"agent{n}@example.com", uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, f"agent{n}.example.com")),
                      employee_no=f"{n + 1:06d}", login=str(500000 + n), last=f"{model.last} {n}", team=f"Team {n % 25 + 1}")


def large(name, out):
    """The shape of a good sample for 500 agents and 4 weeks, with its profile, its plan and its roster beside it."""
    agents = list(crowd(build(name).agents, 500))
    sample = build(name, agents=agents, days=28)
    with open(out, "wb") as file:
        file.write(sample.encode())
    with open(f"{out}.profile.toml", "w", encoding="utf-8") as file:
        file.write(toml(sample.profile))
    with open(f"{out}.expected.json", "w", encoding="utf-8") as file:
        json.dump(sample.expected(), file, ensure_ascii=False, separators=(",", ":"))
    with open(f"{out}.roster.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow("id user_name uuid employee_no login name team time_zone".split())
        writer.writerows([a.id, a.user_name, a.uuid, a.employee_no, a.login, a.name, a.team, a.zone] for a in agents)
    print(f"{out}: {len(agents)} agents, {len(sample.shifts)} shifts, {sum(len(s.activities) for s in sample.shifts)} activities")


def rows(count, out):
    """The table of docs/schedules.md with this many rows: a shift and three activities at a time, four weeks for an agent."""
    zones = list(truth.PEOPLE)
    first = dt.date(2026, 11, 30)
    days = [(first + dt.timedelta(days=n)).isoformat() for n in range(28)]
    parts = (("shift", "09:00", "17:30", "false"), ("break", "10:45", "11:00", "false"), ("lunch", "13:00", "13:30", "true"),
             ("break", "15:15", "15:30", "false"))
    with open(out, "w", encoding="utf-8", newline="\n") as file:
        file.write(COLUMNS)
        left, number = count, 0
        while left > 0:
            number += 1
            lead = f"u_{number:07d},Agent {number},Team {number % 25},{zones[number % len(zones)]}"
            block = [f"{lead},{kind},{day}T{start},{day}T{end},{mandatory}\n" for day in days for kind, start, end, mandatory in parts]
            file.write("".join(block[:left]))
            left -= len(block)


# Workbooks, part by part, so that no library has to hold them.

PARTS = {
    "[Content_Types].xml": '<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
    '<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/>'
    "</Types>",
    "_rels/.rels": '<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/>'
    "</Relationships>",
    "xl/workbook.xml": '<?xml version="1.0" encoding="UTF-8"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>'
    '<sheet name="Schedule" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": '<?xml version="1.0" encoding="UTF-8"?>'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/>'
    '<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings" Target="sharedStrings.xml"/>'
    "</Relationships>",
}
SHEET = '<?xml version="1.0" encoding="UTF-8"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
SHEET_END = "</sheetData></worksheet>"
STRINGS = '<?xml version="1.0" encoding="UTF-8"?><sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" count="1" uniqueCount="1"><si><t>'
STRINGS_END = "</t></si></sst>"
HEADER = '<row r="1">' + "".join(f'<c r="{"ABCDEF"[n]}1" t="inlineStr"><is><t>{text}</t></is></c>' for n, text in enumerate(
    ["Employee No", "Name", "Team", "Activity", "Start", "End"])) + "</row>"


def workbook(out, sheet, strings=(STRINGS, "Shift", 1, STRINGS_END)):
    """A workbook of one sheet. A part is its beginning, a piece, how often the piece occurs, and its end."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as book:
        for name, text in PARTS.items():
            book.writestr(name, text)
        for name, (begin, piece, times, end) in (("xl/worksheets/sheet1.xml", sheet), ("xl/sharedStrings.xml", strings)):
            with book.open(name, "w", force_zip64=True) as part:
                part.write(begin.encode())
                many = max(1, min(times, (1 << 20) // max(1, len(piece))))
                block = (piece * many).encode()
                for _ in range(times // many):
                    part.write(block)
                part.write((piece * (times % many)).encode() + end.encode())


def zip_bomb(out):
    """A few MB that become 4 GB of rows."""
    row = "<row><c/></row>"  # short: the shorter what repeats, the better it is compressed
    workbook(out, (SHEET + HEADER, row, 4 * 10**9 // len(row), SHEET_END))


def string_bomb(out):
    """About 3 MB with one string of 2 GB."""
    workbook(out, (SHEET + HEADER, '<row r="2"><c r="A2" t="s"><v>0</v></c></row>', 1, SHEET_END),
             (STRINGS, "lunch ", 2 * 10**9 // 6, STRINGS_END))


def far_cell(out):
    """One cell in the last column of the last row: a reader that makes room for the rectangle needs 17 billion cells."""
    workbook(out, (SHEET + HEADER, '<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>x</t></is></c></row>', 1, SHEET_END))


def merged_all(out):
    """Merged cells over the whole sheet."""
    workbook(out, (SHEET + HEADER, "", 0, '</sheetData><mergeCells count="1"><mergeCell ref="A1:XFD1048576"/></mergeCells></worksheet>'))


def entities(out):
    """Entities that double: 2^40 copies of a word, if a reader expands them."""
    declared = '<!ENTITY a0 "lunch">' + "".join(f'<!ENTITY a{n} "&a{n - 1};&a{n - 1};">' for n in range(1, 41))
    begin = SHEET.replace("<worksheet", f"<!DOCTYPE worksheet [{declared}]><worksheet") + HEADER
    workbook(out, (begin, '<row r="2"><c r="A2" t="inlineStr"><is><t>&a40;</t></is></c></row>', 1, SHEET_END))


def wrong_size(out):
    """A sheet of 1 GB whose entry in the archive claims 1,000 bytes."""
    row = "<row>" + '<c t="s"><v>0</v></c>' * 40 + "</row>"
    inside = io.BytesIO()
    workbook(inside, (SHEET + HEADER, row, 10**9 // len(row), SHEET_END))
    data = bytearray(inside.getvalue())
    at = data.index(b"PK\x01\x02")
    while data[at:at + 4] == b"PK\x01\x02":
        lengths = [int.from_bytes(data[at + n:at + n + 2], "little") for n in (28, 30, 32)]
        if data[at + 46:at + 46 + lengths[0]] == b"xl/worksheets/sheet1.xml":
            data[at + 24:at + 28] = (1000).to_bytes(4, "little")
        at += 46 + sum(lengths)
    with open(out, "wb") as file:
        file.write(data)


def big_cell(out):
    """A CSV file with a cell of 100 MB."""
    with open(out, "w", encoding="utf-8", newline="\n") as file:
        file.write(COLUMNS + "u_1001,")
        for _ in range(100):
            file.write("x" * 10**6)
        file.write(",Team A,Europe/Berlin,shift,2026-11-30T09:00,2026-11-30T17:30,false\n")


def open_quote(out):
    """A quote that is never closed before 60 MB of rows."""
    rows(700_000, out)
    with open(out, "r+b") as file:
        file.seek(len(COLUMNS))
        file.write(b'"')


def many_columns(out):
    """A header and a row of a million columns."""
    with open(out, "w", encoding="utf-8", newline="\n") as file:
        file.write(COLUMNS.strip() + "".join(f",c{n}" for n in range(10**6)) + "\n")
        file.write("u_1001,A,T,Europe/Berlin,shift,2026-11-30T09:00,2026-11-30T17:30,false" + "," * 10**6 + "\n")


def rule(text):
    def make(out):
        with open(out, "w", encoding="utf-8", newline="\n") as file:
            file.write("BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:1\nATTENDEE;CN=A:urn:agent:u_1001\nCATEGORIES:SHIFT\n"
                       f"DTSTART;TZID=Europe/Berlin:20261130T090000\nDURATION:PT1S\nRRULE:{text}\nEND:VEVENT\nEND:VCALENDAR\n")
    make.__doc__ = f"A calendar with one event and the rule {text}."
    return make


def ten_million(out):
    """Ten million rows of the table, about 800 MB."""
    rows(10_000_000, out)


def long_list(out):
    """One shift with a cell of five million breaks."""
    with open(out, "w", encoding="utf-8", newline="\n") as file:
        file.write("Emp_Name,Emp_Full_Name,Team,Sch_Date,Sch_Start,Sch_End,Sch_Break_String\n"
                   '008336,A,T,20261130,20261130 0900,20261130 1730,"')
        for _ in range(5000):
            file.write("20261130 1000,20261130 1015,BRK,REG~" * 1000)
        file.write('20261130 1000,20261130 1015,BRK,REG"\n')


KINDS = {
    "zip-bomb": zip_bomb, "string-bomb": string_bomb, "far-cell": far_cell, "merged-all": merged_all, "entities": entities,
    "wrong-size": wrong_size, "big-cell": big_cell, "open-quote": open_quote, "many-columns": many_columns, "long-list": long_list,
    "every-second": rule("FREQ=SECONDLY;COUNT=2000000000"), "no-day-fits": rule("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30;COUNT=10"),
    "ten-million-rows": ten_million,
}


def write(kind, out=None):
    if kind == "list" or out is None or kind not in KINDS:
        for name, make in KINDS.items():
            print(f"{name:18}{make.__doc__}")
        return 0 if kind == "list" else 2
    KINDS[kind](out)
    return 0


if __name__ == "__main__":
    sys.exit("run make_samples.py")
