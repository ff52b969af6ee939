"""One sample file while it is being written: its rows, how they become bytes, and the profile that reads them."""
import csv
import datetime as dt
import io
import re
import zipfile
from dataclasses import dataclass, field

import openpyxl
from openpyxl.utils.datetime import CALENDAR_MAC_1904

import truth

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
DAYS = {"en": "Mon Tue Wed Thu Fri Sat Sun".split(), "de": "Mo Di Mi Do Fr Sa So".split()}
CODECS = {"utf-8": "utf-8", "utf-8-bom": "utf-8-sig", "windows-1252": "cp1252", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be"}
BOMS = {"utf-16le": b"\xff\xfe", "utf-16be": b"\xfe\xff"}
DAY_NUMBER_ZERO = dt.datetime(1899, 12, 30)


@dataclass
class Sheet:
    """Rows of cells. `data` holds the indexes of the rows that hold schedule data, `header` that of the header."""
    name: str | None = None
    rows: list = field(default_factory=list)
    data: list = field(default_factory=list)
    header: int | None = None
    merged: list = field(default_factory=list)
    formats: dict = field(default_factory=dict)  # column number -> Excel number format
    hidden: bool = False

    def add(self, *cells, data=True):
        if data:
            self.data.append(len(self.rows))
        self.rows.append(list(cells))

    def head(self, *cells):
        if self.header is None:
            self.header = len(self.rows)
        self.rows.append(list(cells))

    def note(self, *cells):
        """A row that is no data: a title, a total, a blank one."""
        self.rows.append(list(cells))

    def column(self, name):
        """The index of a column by its heading, or by its number where there is no header."""
        return name - 1 if isinstance(name, int) else self.rows[self.header].index(name)


class Sample:
    def __init__(self, name, ext, shape, agents, first, days, seed, zone=None, starts=truth.STARTS, **look):
        self.name, self.ext, self.shape = name, ext, shape
        self.first, self.days, self.zone = first, days, zone
        self.agents = agents
        shifts = truth.plan(agents, first, days, seed, starts)
        # Times that this file's zone says twice could not be read back: such shifts are not in the plan at all.
        self.shifts = [s for s in shifts if zone is None or zone == "UTC" or all(truth.says(t, zone) for t in s.times())]
        self.agent_zone = lambda a: a.zone
        self.key = look.pop("key", "id")
        self.delimiter = look.pop("delimiter", ",")
        self.encoding = look.pop("encoding", "utf-8")
        self.newline = look.pop("newline", "\n")
        self.quote_all = look.pop("quote_all", False)
        self.date_format = look.pop("date_format", "YYYY-MM-DD")
        self.time_format = look.pop("time_format", "HH:mm")
        self.midnight = look.pop("midnight", "dated")
        self.decimal = look.pop("decimal", ".")
        self.language = look.pop("language", "en")
        self.look = look
        self.sheets = []
        self.profile = {}
        self.text = None  # for a calendar
        self.named = lambda a: a.name
        self.teamed = lambda a: a.team

    def sheet(self, name=None):
        self.sheets.append(Sheet(name))
        return self.sheets[-1]

    def opt(self, key, default=None):
        return self.look.get(key, default)

    # What cells say.

    def agent(self, agent):
        return {"id": agent.id, "user_name": agent.user_name, "uuid": agent.uuid, "employee_no": agent.employee_no,
                "login": agent.login}[self.key]

    def local(self, agent, moment):
        """The time as this file writes it: in the file's zone, or in the agent's own."""
        return truth.localtime(moment, self.zone or agent.zone)

    def date(self, when, pattern=None):
        pattern = pattern or self.date_format
        if pattern == "cell":
            return when.date() if isinstance(when, dt.datetime) else when
        if pattern == "number":
            midnight = dt.datetime(when.year, when.month, when.day)
            return self.number((midnight - DAY_NUMBER_ZERO).days)
        words = {
            "YYYY": f"{when.year:04}", "YY": f"{when.year % 100:02}", "MMM": MONTHS[when.month - 1],
            "MM": f"{when.month:02}", "M": str(when.month), "DD": f"{when.day:02}", "D": str(when.day),
            "ddd": DAYS[self.language][when.weekday()],
        }
        return re.sub("YYYY|YY|MMM|MM|M|DD|D|ddd", lambda m: words[m[0]], pattern)

    def time(self, when, base=None):
        """The time of day; with a `base` date, hours may count on from its midnight (24:00, 30:00)."""
        hours, minutes = when.hour, when.minute
        if base is not None:
            days = (when.date() - base).days
            if self.midnight == "over_24" or (self.opt("midnight_is_24") and days == 1 and hours == minutes == 0):
                hours += 24 * days
        half = ("AM", "PM")[hours // 12 % 2]
        twelve = (hours + 11) % 12 + 1
        match self.time_format:
            case "cell":
                return when.time()
            case "fraction":
                return (hours * 60 + minutes) / 1440
            case "hours":
                return self.number(round(hours + minutes / 60, 4))
            case "minutes":
                return str(hours * 60 + minutes)
        words = {"HH": f"{hours:02}", "H": str(hours), "hh": f"{twelve:02}", "h": str(twelve), "mm": f"{minutes:02}", "ss": "00",
                 "AM": half, "am": half.lower(), "a": half[0].lower()}
        return re.sub("HH|H|hh|h|mm|ss|AM|am|a", lambda m: words[m[0]], self.time_format)

    def stamp(self, when):
        """A date and a time in one cell."""
        if self.date_format == "cell":
            return when
        if self.date_format == "number":
            return self.number((when - DAY_NUMBER_ZERO).total_seconds() / 86400)
        return f"{self.date(when)}{self.opt('between', ' ')}{self.time(when)}"

    def number(self, value):
        if self.ext == "xlsx" and not self.opt("text_numbers"):
            return value
        text = f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
        return text.replace(".", self.decimal)

    # Bytes.

    def encode(self):
        if self.text is not None:
            return self.text.replace("\n", self.newline).encode()
        return workbook(self) if self.ext == "xlsx" else self.table()

    def table(self):
        out = io.StringIO()
        quoting = csv.QUOTE_ALL if self.quote_all else csv.QUOTE_MINIMAL
        writer = csv.writer(out, delimiter=self.delimiter, lineterminator=self.newline, quoting=quoting)
        for row in self.sheets[0].rows:
            # The csv module quotes a row of one empty cell, which no exporter does.
            writer.writerow(row) if any(cell != "" for cell in row) else out.write(self.newline)
        return BOMS.get(self.encoding, b"") + out.getvalue().encode(CODECS[self.encoding])

    def expected(self):
        return truth.expected(self.agents, self.shifts, self.named, self.teamed, self.agent_zone)

    def base_profile(self, layout, **keys):
        """The keys that nearly every profile has, in the order of the README."""
        profile = {"layout": layout}
        if self.ext != "xlsx":
            profile["encoding"] = {"utf-8-bom": "utf-8", "utf-16le": "utf-16", "utf-16be": "utf-16"}.get(self.encoding, self.encoding)
            profile["delimiter"] = {"\t": "tab", "|": "|"}.get(self.delimiter, self.delimiter)
        profile["header_row"] = self.sheets[0].header + 1 if self.sheets and self.sheets[0].header is not None else 0
        profile |= keys
        self.profile = profile
        return profile

    def dates(self):
        self.profile["date_format"] = self.date_format
        if self.date_format not in ("cell", "number") or self.opt("separate_time"):
            self.profile["time_format"] = self.time_format
        if self.decimal != ".":
            self.profile["decimal"] = self.decimal
        self.profile["midnight"] = self.midnight


def fixed_zip(data, method=zipfile.ZIP_DEFLATED):
    """A workbook without the date of its making: the same plan gives the same file."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", method) as new:
        for item in old.infolist():
            body = old.read(item.filename)
            if item.filename == "docProps/core.xml":
                body = re.sub(rb"(<dcterms:\w+[^>]*>)[^<]*", rb"\g<1>2026-10-01T00:00:00Z", body)
            entry = zipfile.ZipInfo(item.filename, (2026, 10, 1, 0, 0, 0))
            entry.compress_type = method
            new.writestr(entry, body)
    return out.getvalue()


def workbook(sample):
    book = openpyxl.Workbook()
    book.remove(book.active)
    if sample.opt("date_system") == 1904:
        book.epoch = CALENDAR_MAC_1904
    for sheet in sample.sheets:
        page = book.create_sheet(sheet.name or "Schedule")
        page.sheet_state = "hidden" if sheet.hidden else "visible"
        for number, row in enumerate(sheet.rows, 1):
            for column, value in enumerate(row, 1):
                if value == "" or value is None:
                    continue
                cell = page.cell(number, column)
                cell.value = value
                if isinstance(value, str) and value.startswith("#"):
                    cell.data_type = "e"
                if column in sheet.formats and not isinstance(value, str):
                    cell.number_format = sheet.formats[column]
        for area in sheet.merged:
            page.merge_cells(area)
    out = io.BytesIO()
    book.save(out)
    return fixed_zip(out.getvalue())


def toml(profile):
    """A profile as text. Tables last, as TOML wants it."""
    def value(v):
        if isinstance(v, bool):
            return str(v).lower()
        if isinstance(v, int):
            return str(v)
        if isinstance(v, str):
            escaped = v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
            return f'"{escaped}"'
        if isinstance(v, list):
            return f"[{', '.join(map(value, v))}]"
        return "{ " + ", ".join(f"{key(k)} = {value(x)}" for k, x in v.items()) + " }"

    def key(k):
        return k if re.fullmatch(r"[A-Za-z0-9_-]+", k) else value(k)

    lines = [f"{key(k)} = {value(v)}" for k, v in profile.items() if not isinstance(v, dict)]
    for name, table in profile.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]"] + [f"{key(k)} = {value(v)}" for k, v in table.items()]
    return "\n".join(lines) + "\n"
