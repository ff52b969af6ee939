#!/usr/bin/env python3
"""Reads every sample with nothing but its profile and the roster, and compares the result with what the sample promises.

It shares no code with make_samples.py. A good file must give the plan of NAME.expected.json; a broken one must be refused
at the place and for the reason of NAME.fault.json. It proves that the profiles say enough, and it is no model for the daemon:
it stops at the first fault, and it holds everything in memory.
"""
import csv
import datetime as dt
import io
import json
import pathlib
import re
import sys
import tomllib
import zipfile
from xml.etree.ElementTree import ParseError
from zoneinfo import ZoneInfo, available_timezones

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

HERE = pathlib.Path(__file__).resolve().parent
ZERO = dt.datetime(1899, 12, 30)
LONGEST_CELL = 4096
LONGEST_SHIFT = dt.timedelta(hours=24)


class Fault(Exception):
    def __init__(self, reason, line=None, column=None, sheet=None):
        super().__init__(reason)
        self.line, self.column, self.sheet = line, column, sheet


ROSTER = list(csv.DictReader((HERE / "roster.csv").read_text(encoding="utf-8").splitlines()))
ZONES = available_timezones()


def heading(head):
    return head.date().isoformat() if isinstance(head, dt.datetime) else str(head)


class Row:
    """A row of data, and where each of its columns is."""

    def __init__(self, cells, line, sheet, where, heads):
        self.cells, self.line, self.sheet, self.where, self.heads = cells, line, sheet, where, heads

    def at(self, column):
        index = column - 1 if isinstance(column, int) else self.where[column]
        value = self.cells[index] if index < len(self.cells) else ""
        return "" if value is None else value.strip() if isinstance(value, str) else value

    def fault(self, column, reason):
        return Fault(reason, self.line, str(column) if column is not None else None, self.sheet)


# Files to rows.

def table_rows(data, p):
    encoding = p["encoding"]
    if encoding == "utf-16":
        if data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            raise Fault("the file has no byte-order mark, so it is not UTF-16")
    elif data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Fault("the file is UTF-16")
    if data[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        raise Fault("the file is a workbook")
    if encoding == "utf-8" and b"\0" in data:
        line = data[:data.index(b"\0")].count(b"\n") + 1
        raise Fault("a NUL byte", line)
    try:
        text = data.decode({"utf-8": "utf-8-sig", "windows-1252": "cp1252"}.get(encoding, encoding))
    except UnicodeDecodeError as error:
        raise Fault(f"not {encoding}: byte 0x{data[error.start]:02x}", data[:error.start].count(b"\n") + 1) from None
    delimiter = {"tab": "\t"}.get(p["delimiter"], p["delimiter"])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            yield None, line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise Fault(f"a quote is never closed ({error})", line) from None


def book_rows(data, p):
    if data[:4] == b"\xd0\xcf\x11\xe0":
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise Fault("the workbook is protected by a password")
        raise Fault("the file is an old workbook (.xls)")
    if data[:2] != b"PK":
        raise Fault("the file is no workbook (XLSX)")
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), data_only=True)
        formulas = openpyxl.load_workbook(io.BytesIO(data))
    except (zipfile.BadZipFile, InvalidFileException, KeyError, EOFError, ParseError) as error:
        raise Fault(f"the workbook is damaged: {error}") from None
    wanted = p.get("sheets") or book.sheetnames
    for name in wanted:
        pattern = re.compile(re.escape(name).replace(r"\*", ".*"))
        if not any(pattern.fullmatch(sheet) for sheet in book.sheetnames):
            raise Fault(f'there is no sheet "{name}"', sheet=name)
    patterns = [re.compile(re.escape(name).replace(r"\*", ".*")) for name in wanted]
    for page in book:
        if not any(x.fullmatch(page.title) for x in patterns) or page.title in p.get("skip_sheets", []):
            continue
        merged = {}
        for area in page.merged_cells.ranges:
            for row in range(area.min_row, area.max_row + 1):
                merged[row] = str(area)
        for number, row in enumerate(page.iter_rows(), 1):
            cells = []
            for cell in row:
                written = formulas[page.title][cell.coordinate].value
                if cell.value is None and isinstance(written, str) and written.startswith("="):
                    cells.append(Error(written))
                elif cell.data_type == "e":
                    cells.append(Error(str(cell.value)))
                else:
                    cells.append("" if cell.value is None else cell.value)
            yield page.title, number, Merged(cells, merged.get(number))


class Error(str):
    """A cell whose formula failed, or has no value."""


class Merged(list):
    def __init__(self, cells, area):
        super().__init__(cells)
        self.area = area


def data_rows(data, p, ext):
    """The rows with data: without titles, headers, totals and blank rows."""
    source = book_rows(data, p) if ext == "xlsx" else table_rows(data, p)
    header_row, skip = p["header_row"], p.get("skip", [])
    needed = list(columns_of(p))
    heads, where, seen, found = None, {}, None, False
    for sheet, line, cells in source:
        found = True
        number = line
        for index, cell in enumerate(cells):
            if isinstance(cell, str) and len(cell) > LONGEST_CELL:
                raise Fault(f"a cell of {len(cell)} characters is too long", line, None, sheet)
        if sheet != seen:
            seen, heads, where = sheet, None, {}
        if header_row and heads is None:
            if number < header_row:
                continue
            heads = list(cells)
            if p.get("header_prefix"):
                if not str(heads[0]).startswith(p["header_prefix"]):
                    raise Fault(f"the header does not begin with {p['header_prefix']}", line, None, sheet)
                heads[0] = heads[0].removeprefix(p["header_prefix"]).lstrip(": |")
            for index, head in enumerate(heads):
                if head in where and head != "" and p["layout"] != "wide":
                    raise Fault(f'"{head}" is in the header twice', line, head, sheet)
                where.setdefault(head, index)
            for column in needed:
                if not isinstance(column, int) and column not in where:
                    raise Fault(f'"{column}" is missing from the header', line, column, sheet)
            yield Row(heads, line, sheet, where, heads)
            continue
        filled = [c for c in cells if c not in ("", None)]
        if not filled:
            continue
        if any(isinstance(filled[0], str) and filled[0].startswith(text) for text in skip) or (heads is not None and list(cells) == heads):
            continue
        if p.get("day_columns") and filled[:2] == ["Start", "End"]:
            continue
        row = Row(cells, line, sheet, where, heads)
        if getattr(cells, "area", None):
            raise row.fault(None, f"the cells {cells.area} are merged")
        if heads is not None and ext != "xlsx" and len(cells) != len(heads):
            raise row.fault(None, f"the row has {len(cells)} fields where the header has {len(heads)}")
        yield row
    if not found or (header_row and heads is None):
        raise Fault("the file is empty")


def columns_of(p):
    for value in p["columns"].values():
        yield from value if isinstance(value, list) else [value]
    for slot in p.get("breaks", {}).values():
        yield from (slot["start"], slot["end"])
    if "list" in p:
        yield p["list"]["column"]


# Cells to dates and times.

TOKENS = {"YYYY": r"(?P<Y>\d{4})", "YY": r"(?P<y>\d{2})", "MMM": r"(?P<b>[A-Za-z]{3})", "MM": r"(?P<m>\d{2})", "M": r"(?P<m>\d{1,2})",
          "DD": r"(?P<d>\d{2})", "D": r"(?P<d>\d{1,2})", "ddd": r"\w{2,3}", "HH": r"(?P<H>\d{2})", "H": r"(?P<H>\d{1,2})",
          "hh": r"(?P<h>\d{2})", "h": r"(?P<h>\d{1,2})", "mm": r"(?P<M>\d{2})", "ss": r"(?P<S>\d{2})", "AM": "(?P<p>[AP]M)", "a": "(?P<p>[ap])"}
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def match(pattern, text, what, row, column):
    parts = re.split("(YYYY|YY|MMM|MM|M|DD|D|ddd|HH|H|hh|h|mm|ss|AM|a)", pattern)
    found = re.fullmatch("".join(TOKENS.get(x) or re.escape(x) for x in parts), text)
    if not found:
        raise row.fault(column, f'"{text}" is no {what} of the form {pattern}')
    return found.groupdict()


def date_of(p, value, row, column, pattern=None):
    pattern = pattern or p["date_format"]
    if isinstance(value, Error):
        raise row.fault(column, f'"{value}" is no value')
    if pattern == "cell":
        if isinstance(value, dt.datetime):
            return value.date()
        if not isinstance(value, dt.date):
            raise row.fault(column, f'"{value}" is no date')
        return value
    if pattern == "number":
        return number_date(p, value, row, column).date()
    if not isinstance(value, str):
        raise row.fault(column, f'"{value}" is no text date of the form {pattern}')
    if pattern == "":
        raise row.fault(column, f'"{value}": the profile does not say whether the day or the month comes first')
    got = match(pattern, value, "date", row, column)
    if not (got.get("Y") or got.get("y") or "year" in p):
        raise row.fault(column, f'"{value}" has no year, and the profile does not state it')
    month = MONTHS.index(got["b"]) + 1 if got.get("b") in MONTHS else int(got.get("m") or 0)
    year = int(got["Y"]) if got.get("Y") else 2000 + int(got["y"]) if got.get("y") else p["year"]
    try:
        return dt.date(year, month, int(got["d"]))
    except ValueError:
        raise row.fault(column, f'"{value}" does not exist as a date of the form {pattern}') from None


def decimal(p, value, row, column):
    try:
        return float(value.replace(p.get("decimal", "."), ".") if isinstance(value, str) else value)
    except (ValueError, TypeError):
        raise row.fault(column, f'"{value}" is no number') from None


def number_date(p, value, row, column):
    if isinstance(value, (dt.datetime, dt.date)):
        raise row.fault(column, f'"{value}" is a date and no day number')
    days = decimal(p, value, row, column)
    if not 25569 <= days < 109575:
        raise row.fault(column, f'"{value}" is no day number between 1970 and 2199')
    return ZERO + dt.timedelta(minutes=round(days * 1440))


def time_of(p, value, row, column):
    """Minutes after midnight; more than 24 hours where the profile says so."""
    pattern = p["time_format"]
    if isinstance(value, Error):
        raise row.fault(column, f'"{value}" is no value')
    if pattern == "cell":
        if isinstance(value, dt.datetime) and value == dt.datetime(1899, 12, 30):
            value = dt.time()
        if not isinstance(value, dt.time):
            raise row.fault(column, f'"{value}" is no time')
        return value.hour * 60 + value.minute
    if pattern in ("hours", "minutes"):
        minutes = round(decimal(p, value, row, column) * (60 if pattern == "hours" else 1))
    else:
        if not isinstance(value, str):
            raise row.fault(column, f'"{value}" is no time of the form {pattern}')
        got = match(pattern, value, "time", row, column)
        if got.get("h"):
            if not 1 <= int(got["h"]) <= 12:
                raise row.fault(column, f'"{value}" is no time of the form {pattern}')
            hours = int(got["h"]) % 12 + (12 if got["p"].lower().startswith("p") else 0)
        else:
            hours = int(got["H"])
        if int(got["M"]) > 59 or int(got.get("S") or 0) > 59:
            raise row.fault(column, f'"{value}" is no time')
        minutes = hours * 60 + int(got["M"])
    most = 48 * 60 if p.get("midnight") == "over_24" else 24 * 60
    if not 0 <= minutes <= most:
        raise row.fault(column, f'"{value}" is no time of day')
    return minutes


def stamp_of(p, value, row, column):
    """A local time, or an instant if the value states its zone."""
    if isinstance(value, Error):
        raise row.fault(column, f'"{value}" is no value')
    pattern = p["date_format"]
    if pattern == "unix_seconds":
        if not re.fullmatch(r"\d{9,10}", str(value)):
            raise row.fault(column, f'"{value}" is no time in seconds since 1970')
        return dt.datetime.fromtimestamp(int(value), dt.timezone.utc)
    if pattern == "cell":
        if not isinstance(value, dt.datetime):
            raise row.fault(column, f'"{value}" is no date with a time')
        return value.replace(second=0, microsecond=0) if value.second < 30 else value.replace(second=0, microsecond=0) + dt.timedelta(minutes=1)
    if pattern == "number":
        return number_date(p, value, row, column)
    text, zone = str(value), None
    if p["time_zone"] in ("value", "UTC"):
        found = re.fullmatch(r"(.*?)(Z|[+-]\d\d:\d\d)?", text)
        text, suffix = found[1], found[2]
        if suffix is None and p["time_zone"] == "value":
            raise row.fault(column, f'"{value}" does not state its offset')
        if suffix == "Z":
            zone = dt.timezone.utc
        elif suffix:
            if int(suffix[1:3]) > 14:
                raise row.fault(column, f'"{value}": {suffix} is no offset')
            zone = dt.timezone((1 if suffix[0] == "+" else -1) * dt.timedelta(hours=int(suffix[1:3]), minutes=int(suffix[4:])))
    width = len(pattern.replace("MMM", "Jan")) if not re.search(r"(?<![MD])[MD](?![MD])", pattern) else None
    if width:
        date, between, time = text[:width], text[width:width + 1], text[width + 1:]
    else:
        date, between, time = text.partition(" ")
    when = dt.datetime.combine(date_of(p, date, row, column), dt.time())
    if between not in (" ", "T"):
        raise row.fault(column, f'"{value}" has no time')
    when += dt.timedelta(minutes=time_of(p, time, row, column))
    return when.replace(tzinfo=zone) if zone else when


def instant(p, local, zone, row, column):
    if local.tzinfo:
        return local.astimezone(dt.timezone.utc)
    moment = local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(dt.timezone.utc)
    if moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != local:
        raise row.fault(column, f"{local:%Y-%m-%d %H:%M} is skipped in {zone}")
    return moment


# The plan under construction.

class Plan:
    def __init__(self, p):
        self.p, self.agents = p, {}
        self.roster = {a[p["agent_key"]]: a for a in ROSTER}

    def agent(self, row):
        p, c = self.p, self.p["columns"]
        column = c["agent"]
        key = row.at(column)
        key = str(int(key)) if isinstance(key, float) else str(key)
        name = row.at(c["name"]) if "name" in c and not isinstance(c["name"], list) else None
        if isinstance(c.get("name"), list):
            name = " ".join(str(row.at(x)) for x in c["name"])
        if not key:
            raise row.fault(column, "the agent is empty")
        if key == "<Unknown>" or name == "<Unknown>":
            raise row.fault(column if key == "<Unknown>" else c["name"], "<Unknown> is an agent whom the WFM suite has deleted")
        known = self.roster.get(key)
        if known is None:
            raise row.fault(column, f'nobody in the roster has the {p["agent_key"]} "{key}"')
        zone = p["time_zone"]
        if zone == "column":
            text = row.at(c["time_zone"])
            if "time_zones" in p:
                if text not in p["time_zones"]:
                    raise row.fault(c["time_zone"], f'the time zone "{text}" is not in the profile')
                text = p["time_zones"][text]
            if text not in ZONES:
                raise row.fault(c["time_zone"], f'"{text}" is not a known time zone')
            zone = text
        times = known["time_zone"] if zone in ("roster", "value") else zone
        own = p.get("agent_zone", times)
        own = known["time_zone"] if own == "roster" else own
        team = row.sheet if p.get("team_from") == "sheet" else row.at(c["team"]) if "team" in c else None
        agent = self.agents.setdefault(known["id"], {"id": known["id"], "name": name, "team": team, "zone": own, "items": []})
        if agent["zone"] != own:
            raise row.fault(c.get("time_zone"), f'{key} has two time zones, {agent["zone"]} and {own}')
        return agent, times

    def activity(self, text, row, column):
        """What an activity is called here; None for work, "off" and "ignore" for what is no activity."""
        p = self.p
        text = str(text)
        if text in p.get("work", []):
            return None
        if text in p.get("off", []):
            return "off"
        if text in p.get("ignore", []):
            return "ignore"
        if "activities" in p:
            if text not in p["activities"]:
                raise row.fault(column, f'the activity "{text}" is not in the profile')
            return p["activities"][text]
        if not text:
            raise row.fault(column, "the activity is empty")
        return {"activity": text}

    def result(self):
        out = []
        for agent in sorted(self.agents.values(), key=lambda a: a["id"]):
            shifts = shifts_of(self.p, agent)
            out.append({key: agent[key] for key in ("id", "name", "team", "zone")} | {"shifts": shifts})
        return {"agents": out}


def check_span(start, end, row, column):
    if end <= start:
        raise row.fault(column, f"the end {row.at(column) if isinstance(column, (int, str)) else ''} is not after the start")


def shifts_of(p, agent):
    """Items (frame?, key, activity, start, end, row, column) become shifts with activities."""
    items = agent["items"]
    frames = [i for i in items if i[0]]
    if p["layout"] == "activities" and p["shifts"] in ("touching", "key") or p["layout"] == "days" and p.get("shifts") == "touching":
        frames = []
        ordered = sorted(items, key=lambda i: (i[1] if p["shifts"] == "key" else "", i[3]))
        for item in ordered:
            _, key, activity, start, end, row, column = item
            last = frames[-1] if frames else None
            together = last and (last[1] == key if p["shifts"] == "key" else last[4] >= start)
            if not together:
                frames.append([True, key, None, start, end, row, column])
                continue
            if start < last[4]:
                raise row.fault(column, f"{start} overlaps the row before it")
            if start > last[4]:
                raise row.fault(column, "there is a gap in the shift")
            last[4] = end
    shifts = []
    for _, _, _, start, end, row, column in sorted(frames, key=lambda i: i[3]):
        if end - start > LONGEST_SHIFT:
            raise row.fault(column, f"the shift lasts {end - start}")
        if shifts and start < shifts[-1]["end"]:
            raise row.fault(column, "the shift overlaps another one of the agent")
        shifts.append({"start": start, "end": end, "activities": []})
    for frame, _, activity, start, end, row, column in sorted(items, key=lambda i: i[3]):
        if frame or activity is None:
            continue
        home = [s for s in shifts if s["start"] <= start < s["end"]]
        if not home:
            raise row.fault(column, "the activity lies outside every shift")
        if end > home[0]["end"]:
            raise row.fault(column, "the activity lies outside its shift: it runs over the end")
        before = home[0]["activities"][-1] if home[0]["activities"] else None
        if before and p.get("join_at_midnight") and before["activity"] == activity["activity"] and before["end"] == start and \
                start.astimezone(ZoneInfo(agent["zone"])).time() == dt.time():
            before["end"] = end
            continue
        if before and start < before["end"]:
            raise row.fault(column, "the activity overlaps the one before it")
        home[0]["activities"].append({"activity": activity["activity"], "start": start, "end": end, "mandatory": activity.get("mandatory", False)})
    text = lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ")
    return [{"start": text(s["start"]), "end": text(s["end"]), "activities": [
        a | {"start": text(a["start"]), "end": text(a["end"])} for a in s["activities"]]} for s in shifts]


def clock_span(p, date, start, end, zone, row, columns, after=None):
    """Times of day on a date: what is before `after`, or ends before it starts, is on the next day."""
    a, b = time_of(p, start, row, columns[0]), time_of(p, end, row, columns[1])
    if p["midnight"] == "next_day":
        if after is not None and a < after:
            a += 1440
        while b < a or (b == a):
            if b == a and a % 1440 == b % 1440 and start == end:
                break
            b += 1440
    midnight = dt.datetime.combine(date, dt.time())
    x = instant(p, midnight + dt.timedelta(minutes=a), zone, row, columns[0])
    y = instant(p, midnight + dt.timedelta(minutes=b), zone, row, columns[1])
    check_span(x, y, row, columns[1])
    return x, y, a


def read_activities(p, rows, plan):
    c = p["columns"]
    first_of = {}
    for row in rows:
        agent, zone = plan.agent(row)
        kind = plan.activity(row.at(c["activity"]), row, c["activity"]) if row.at(c["activity"]) != p.get("shift_activity") else {"frame": True}
        if kind in ("off", "ignore"):
            continue
        key = str(row.at(c["shift"])) if "shift" in c else ""
        if "date" in c:
            date = date_of(p, row.at(c["date"]), row, c["date"])
            after = first_of.get((agent["id"], key)) if p["shifts"] == "key" else None
            start, end, minutes = clock_span(p, date, row.at(c["start"]), row.at(c["end"]), zone, row, (c["start"], c["end"]), after)
            first_of.setdefault((agent["id"], key), minutes)
        else:
            start = instant(p, stamp_of(p, row.at(c["start"]), row, c["start"]), zone, row, c["start"])
            if "duration" in p:
                length = decimal(p, row.at(c["duration"]), row, c["duration"]) * (60 if p["duration"] == "hours" else 1)
                if length <= 0:
                    raise row.fault(c["duration"], f'"{row.at(c["duration"])}" is no length')
                end = start + dt.timedelta(minutes=round(length))
            else:
                end = instant(p, stamp_of(p, row.at(c["end"]), row, c["end"]), zone, row, c["end"])
                check_span(start, end, row, c["end"])
        if "mandatory" in c:
            text = str(row.at(c["mandatory"]))
            yes, no = p.get("yes", ["true", "yes", "1"]), p.get("no", ["false", "no", "0"])
            if text not in yes + no:
                raise row.fault(c["mandatory"], f'"{text}" is neither yes nor no')
            if kind and "frame" not in kind:
                kind = kind | {"mandatory": text in yes}
        agent["items"].append((bool(kind) and "frame" in kind, key, kind, start, end, row, c["start"]))


def read_shifts(p, rows, plan):
    c = p["columns"]
    known = {}
    for row in rows:
        agent, zone = plan.agent(row)
        if not row.at(c["shift_start"]) and not row.at(c["shift_end"]):
            continue
        for x in ("shift_start", "shift_end"):
            if row.at(c[x]) == "":
                raise row.fault(c[x], f'"{c[x]}" is empty')
        start, end = (instant(p, stamp_of(p, row.at(c[x]), row, c[x]), zone, row, c[x]) for x in ("shift_start", "shift_end"))
        check_span(start, end, row, c["shift_end"])
        if "offset" in c:
            text = str(row.at(c["offset"]))
            found = re.fullmatch(r"UTC([+-])(\d\d):(\d\d)", text)
            if not found:
                raise row.fault(c["offset"], f'"{text}" is no offset of the form UTC+hh:mm')
            offset = (1 if found[1] == "+" else -1) * dt.timedelta(hours=int(found[2]), minutes=int(found[3]))
            if start.astimezone(ZoneInfo(zone)).utcoffset() != offset:
                raise row.fault(c["offset"], f'{zone} is not at "{text}" then')
        if (agent["id"], start) not in known:
            known[agent["id"], start] = end
            agent["items"].append((True, "", None, start, end, row, c["shift_start"]))
        elif known[agent["id"], start] != end:
            raise row.fault(c["shift_end"], f'the shift ends at {row.at(c["shift_end"])} here and at another time above')
        if "activity" not in c:
            continue
        cells = [row.at(c[x]) for x in ("start", "end", "activity")]
        if not any(cells):
            continue
        if not all(cells):
            missing = ("start", "end", "activity")[[bool(x) for x in cells].index(False)]
            raise row.fault(c[missing], f'"{c[missing]}" is empty')
        kind = plan.activity(cells[2], row, c["activity"])
        a, b = (instant(p, stamp_of(p, row.at(c[x]), row, c[x]), zone, row, c[x]) for x in ("start", "end"))
        check_span(a, b, row, c["end"])
        agent["items"].append((False, "", kind, a, b, row, c["start"]))


def read_days(p, rows, plan):
    c = p["columns"]
    for row in rows:
        agent, zone = plan.agent(row)
        if "activity" in c and plan.activity(row.at(c["activity"]), row, c["activity"]) == "off":
            continue
        if "date" in c:
            date = date_of(p, row.at(c["date"]), row, c["date"])
        if "repeat" in p:
            cells = [x for x in row.cells[p["repeat"]["from"] - 1:]]
            while cells and cells[-1] == "":
                cells.pop()
            if len(cells) == 1 and plan.activity(cells[0], row, p["repeat"]["from"]) == "off":
                continue
            if len(cells) % 3:
                raise row.fault(None, f"{len(cells)} cells do not make groups of activity, start and end")
            first = None
            for n in range(0, len(cells), 3):
                column = p["repeat"]["from"] + n
                kind = plan.activity(cells[n], row, column)
                start, end, minutes = clock_span(p, date, cells[n + 1], cells[n + 2], zone, row, (column + 1, column + 2), first)
                first = minutes if first is None else first
                agent["items"].append((False, date.isoformat(), kind, start, end, row, column))
            continue
        if "date" in c:
            start, end, first = clock_span(p, date, row.at(c["shift_start"]), row.at(c["shift_end"]), zone, row, (c["shift_start"], c["shift_end"]))
        else:
            start, end = (instant(p, stamp_of(p, row.at(c[x]), row, c[x]), zone, row, c[x]) for x in ("shift_start", "shift_end"))
            check_span(start, end, row, c["shift_end"])
        agent["items"].append((True, "", None, start, end, row, c["shift_start"]))
        for slot in p.get("breaks", {}).values():
            a, b = row.at(slot["start"]), row.at(slot["end"])
            if a == "" and b == "":
                continue
            for value, column in ((a, slot["start"]), (b, slot["end"])):
                if value == "":
                    raise row.fault(column, f'"{column}" is empty')
            x, y, _ = clock_span(p, date, a, b, zone, row, (slot["start"], slot["end"]), first)
            agent["items"].append((False, "", slot, x, y, row, slot["start"]))
        if "list" in p and row.at(p["list"]["column"]):
            column = p["list"]["column"]
            for item in row.at(column).split(p["list"]["items"]):
                parts = item.split(p["list"]["parts"])
                if len(parts) != len(p["list"]["fields"]):
                    raise row.fault(column, f'"{item}" has {len(parts)} parts and not {len(p["list"]["fields"])}')
                got = dict(zip(p["list"]["fields"], parts))
                kind = plan.activity(got["activity"], row, column)
                a, b = (instant(p, stamp_of(p, got[x], row, column), zone, row, column) for x in ("start", "end"))
                if b <= a:
                    raise row.fault(column, f'in "{item}" the end is not after the start')
                if "duration" in got and dt.timedelta(minutes=int(got["duration"])) != b - a:
                    raise row.fault(column, f'in "{item}" the duration does not fit start and end')
                agent["items"].append((False, "", kind, a, b, row, column))


def read_wide(p, rows, plan):
    header = None
    for row in rows:
        if row.cells is row.heads:
            header, days = row, {}
            taken = set(p["columns"].values()) | set(p.get("ignore_columns", []))
            for index, head in enumerate(row.heads):
                if head in taken or head in ("", None):
                    continue
                day = date_of(p, head, row, heading(head))
                if day in days.values():
                    raise row.fault(heading(head), f"the day {head} is in the header twice")
                days[index] = day
            continue
        agent, zone = plan.agent(row)
        for index, date in days.items():
            column = heading(header.heads[index])
            value = row.cells[index] if index < len(row.cells) else ""
            if isinstance(value, Error):
                raise row.fault(column, f'"{value}" is no value')
            if value in p["off"]:
                continue
            if value in ("", None):
                raise row.fault(column, f"the cell is empty, which is neither a shift nor one of {p['off']}")
            if "day_columns" in p:
                start, end, _ = clock_span(p, date, value, row.cells[index + 1], zone, row, (column, column))
                agent["items"].append((True, "", None, start, end, row, column))
                continue
            if "shift_codes" in p:
                code = p["shift_codes"].get(value)
                if code is None:
                    raise row.fault(column, f'the shift code "{value}" is not in the profile')
                start, end, first = clock_span(p, date, code["start"], code["end"], zone, row, (column, column))
                agent["items"].append((True, "", None, start, end, row, column))
                inner = [(x["activity"], x["start"], x["end"]) for x in code["activities"]]
            else:
                dash, cell = p["cell"]["dash"], p["cell"]
                text, inside = str(value), []
                if cell.get("activities") == "brackets" and "(" in text:
                    if not text.endswith(")"):
                        raise row.fault(column, f'"{value}" lacks a closing bracket')
                    text, _, rest = text[:-1].partition("(")
                    inside = [x.strip() for x in rest.split(cell["separator"])]
                elif cell.get("activities") == "lines":
                    text, *inside = text.split("\n")
                ends = [x.strip() for x in text.split(dash)]
                if len(ends) != 2 or not all(ends):
                    raise row.fault(column, f'"{value}" is no shift')
                start, end, first = clock_span(p, date, *ends, zone, row, (column, column))
                agent["items"].append((True, "", None, start, end, row, column))
                inner = []
                for text in inside:
                    name, _, span = text.partition(" ")
                    ends = [x.strip() for x in span.split(dash)]
                    if len(ends) != 2:
                        raise row.fault(column, f'"{text}" in "{value}" is no activity')
                    inner.append((name, *ends))
            for name, a, b in inner:
                kind = plan.activity(name, row, column)
                x, y, _ = clock_span(p, date, a, b, zone, row, (column, column), first)
                agent["items"].append((False, "", kind, x, y, row, column))


def read(data, p, ext):
    plan = Plan(p)
    rows = data_rows(data, p, ext)
    if p["layout"] == "wide":
        read_wide(p, rows, plan)
    else:
        only = (r for r in rows if r.cells is not r.heads)
        {"activities": read_activities, "shifts": read_shifts, "days": read_days}[p["layout"]](p, only, plan)
    if not plan.agents:
        raise Fault("the file has no rows of data")
    return plan.result()


def read_calendar(data, p):
    """The few properties that the samples have; a rule is weekly, on weekdays, from a Monday on."""
    text = data.decode().replace("\r\n", "\n").replace("\n ", "")
    agents = {}
    for event in text.split("BEGIN:VEVENT\n")[1:]:
        lines = dict(re.match(r"([A-Z-]+)(.*)", x).groups() for x in event.split("END:VEVENT")[0].splitlines())

        def moment(value):
            if value.endswith("Z"):
                return dt.datetime.strptime(value[1:], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.timezone.utc), None
            zone, local = re.fullmatch(r";TZID=([^:]+):(.+)", value).groups()
            return dt.datetime.strptime(local, "%Y%m%dT%H%M%S"), zone

        name, key = re.fullmatch(r';CN="([^"]+)":urn:agent:(.+)', lines["ATTENDEE"]).groups()
        start, zone = moment(lines["DTSTART"])
        if "DURATION" in lines:
            length, end = dt.timedelta(minutes=int(lines["DURATION"][3:-1])), None
        else:
            length, end = None, moment(lines["DTEND"])[0]
        agent = agents.setdefault(key, {"id": key, "name": name, "team": None, "zone": p.get("agent_zone", zone), "items": []})
        agent["team"] = lines["X-TEAM"][1:] if "X-TEAM" in lines else agent["team"]
        kind = lines["CATEGORIES"][1:].lower()
        activity = {"activity": kind, "mandatory": lines.get("X-MANDATORY") == ":TRUE"}
        starts = [start]
        if "RRULE" in lines:
            count, left_out = int(re.search(r"COUNT=(\d+)", lines["RRULE"])[1]), moment(lines["EXDATE"])[0]
            starts = [start + dt.timedelta(days=n // 5 * 7 + n % 5) for n in range(count)]
            starts = [x for x in starts if x != left_out]
            length, end = end - start, None
        row = Row([], None, None, {}, None)
        for at in starts:
            begin = instant(p, at, zone, row, None)
            until = begin + length if length else instant(p, end, zone, row, None)
            agent["items"].append((kind == "shift", "", activity, begin, until, row, None))
    out = [{k: a[k] for k in ("id", "name", "team", "zone")} | {"shifts": shifts_of(p, a)} for a in agents.values()]
    return {"agents": sorted(out, key=lambda a: a["id"])}


def main():
    wrong = good = bad = 0
    for path in sorted((HERE / "good").glob("*.expected.json")):
        name = path.name.removesuffix(".expected.json")
        profile = tomllib.loads((HERE / "good" / f"{name}.profile.toml").read_text(encoding="utf-8"))
        file = next(f for f in (HERE / "good").glob(f"{name}.*") if not f.name.endswith((".toml", ".json")))
        plan = json.loads(path.read_text(encoding="utf-8"))
        good += 1
        try:
            data = file.read_bytes()
            fits = (read_calendar(data, profile) if profile["layout"] == "calendar" else read(data, profile, file.suffix[1:])) == plan
            if not fits:
                print(f"{file.name}: the plan differs")
        except Fault as fault:
            fits = False
            print(f"{file.name}: line {fault.line}, column {fault.column}: {fault}")
        wrong += not fits
    for path in sorted((HERE / "bad").glob("*.fault.json")):
        name = path.name.removesuffix(".fault.json")
        promise = json.loads(path.read_text(encoding="utf-8"))
        folder = "bad" if (HERE / "bad" / promise["profile"]).exists() else "good"
        profile = tomllib.loads((HERE / folder / promise["profile"]).read_text(encoding="utf-8"))
        file = next(f for f in (HERE / "bad").glob(f"{name}.*") if not f.name.endswith((".toml", ".json")))
        bad += 1
        if profile["layout"] == "calendar":
            continue
        try:
            read(file.read_bytes(), profile, file.suffix[1:])
            print(f"{file.name}: is read, and should be refused: {promise['reason_contains']}")
            wrong += 1
        except Fault as fault:
            got = {"line": fault.line, "sheet": fault.sheet, "column": fault.column}
            fits = all(promise[k] is None or promise[k] == got[k] for k in got)
            if not fits or promise["reason_contains"].lower() not in str(fault).lower():
                print(f"{file.name}: {got}, {fault}; promised {promise}")
                wrong += 1
    print(f"{good} good and {bad} broken files, {wrong} of them not as promised")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
