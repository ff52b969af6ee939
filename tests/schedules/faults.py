"""The broken files: each is a small good file with one fault, and says where a reader must find it.

A fault states words that any clear message has to contain, usually the text that is wrong.
"""
import copy
import datetime as dt
import io
import json
import zipfile

from sample import fixed_zip, toml
from variants import build

FAULTS = []


class Fault:
    def __init__(self, name, sample, content, line, column, reason, sheet=None, profile=None, ext=None):
        self.name, self.ext, self.content = name, ext or sample.ext, content
        self.profile = profile
        self.promise = {"profile": f"{name if profile else sample.name}.profile.toml", "line": line, "sheet": sheet, "column": column,
                        "reason_contains": reason}

    def files(self):
        yield f"bad/{self.name}.{self.ext}", self.content
        yield f"bad/{self.name}.fault.json", (json.dumps(self.promise, ensure_ascii=False, indent=2) + "\n").encode()
        if self.profile:
            yield f"bad/{self.name}.profile.toml", toml(self.profile).encode()


def small(base):
    """The sample with three agents and a week: enough to put a fault into."""
    people = build(base).agents[:3]
    return build(base, agents=people, days=7)


def cell(name, base, column, value, reason=None, row=0, sheet=0, says=None):
    """One cell of the row-th row of data says something else. `says` is the column that the reader names, if it is another."""
    sample = small(base)
    page = sample.sheets[sheet]
    index = page.data[row]
    page.rows[index][page.column(column)] = value
    head = str(column) if says is None else says
    FAULTS.append(Fault(name, sample, sample.encode(), index + 1, head or None, str(value) if reason is None else reason, page.name))


def change(name, base, edit, reason, profile=None):
    """`edit` changes the sample and gives line, sheet and column. `profile` changes a copy of the profile."""
    sample = small(base)
    line, sheet, column = edit(sample)
    own = None
    if profile:
        own = copy.deepcopy(sample.profile)
        profile(own)
    FAULTS.append(Fault(name, sample, sample.encode(), line, column, reason, sheet, own))


def raw(name, base, edit, reason, line=None, column=None, ext=None):
    """`edit` changes the bytes."""
    sample = small(base)
    FAULTS.append(Fault(name, sample, edit(sample.encode()), line, column, reason, None, None, ext))


def page_of(sample, sheet=0):
    return sample.sheets[sheet]


def set_row(row, sheet=0, **cells):
    """Cells of one row by heading; the fault is in the first of them."""
    def edit(sample):
        page = page_of(sample, sheet)
        index = page.data[row]
        for column, value in cells.items():
            page.rows[index][page.column(column)] = value
        return index + 1, page.name, next(iter(cells))
    return edit


def compound(stream, body=b"\x09\x08\x10\x00" + bytes(4092)):
    """An OLE compound file with one stream of 4096 bytes: what old and encrypted workbooks look like from outside."""
    sector = 512
    fat = [0xFFFFFFFD, 0xFFFFFFFE] + [3, 4, 5, 6, 7, 8, 9, 0xFFFFFFFE]
    fat += [0xFFFFFFFF] * (128 - len(fat))

    def entry(name, kind, child, start, size):
        raw = name.encode("utf-16-le") + b"\0\0"
        return (raw.ljust(64, b"\0") + len(raw).to_bytes(2, "little") + bytes([kind, 1]) + b"\xff" * 8 + child.to_bytes(4, "little") + bytes(36)
                + start.to_bytes(4, "little") + size.to_bytes(8, "little"))

    number = lambda *values: b"".join(v.to_bytes(4, "little") for v in values)
    head = (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + b"\x3e\x00\x03\x00\xfe\xff\x09\x00\x06\x00" + bytes(6)
            + number(0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0, 0) + number(*[0xFFFFFFFF] * 108))
    directory = entry("Root Entry", 5, 1, 0xFFFFFFFE, 0) + entry(stream, 2, 0xFFFFFFFF, 2, 4096) + bytes(256)
    return head.ljust(sector, b"\0") + number(*fat) + directory + body


def patched(member, edit):
    """A workbook with one part changed."""
    def apply(data):
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            for item in old.infolist():
                body = old.read(item.filename)
                new.writestr(item, edit(body) if item.filename == member else body)
        return fixed_zip(out.getvalue())
    return apply


# The own table.

cell("own-unknown-zone", "own-plain", "time_zone", "Europe/Belin")
cell("own-agent-empty", "own-plain", "agent_id", "", "agent")
cell("own-agent-unknown", "own-plain", "agent_id", "u_9999")
cell("own-impossible-time", "own-plain", "start", "2026-10-20T25:99", "25:99")
cell("own-impossible-date", "own-plain", "start", "2026-02-30T09:00", "2026-02-30")
cell("own-offset-in-local-time", "own-plain", "start", "2026-10-20T09:00+02:00", "+02:00")
cell("own-mandatory-unclear", "own-plain", "mandatory", "maybe")
cell("own-activity-empty", "own-plain", "activity", "", "activity", row=1)
cell("own-long-cell", "own-plain", "activity", "lunch " * 2000, "long", row=1, says="")
cell("own-end-before-start", "own-plain", "end", "2026-10-19T07:00", "not after the start")
cell("own-activity-outside", "own-plain", "start", "2026-10-19T03:00", "outside", row=1)
cell("own-activity-over-the-end", "own-plain", "end", "2026-10-23T23:55", "shift", row=3, says="start")
cell("own-shift-too-long", "own-plain", "end", "2026-10-25T08:00", "lasts", row=0, says="start")


def another_shift(sample):
    page = page_of(sample)
    again = list(page.rows[page.data[0]])
    again[5], again[6] = again[6][:11] + "15:00", again[6][:11] + "23:30"
    page.rows.append(again)
    return len(page.rows), None, "start"


def skipped_hour(sample):
    page = page_of(sample)
    row = list(page.rows[page.data[0]])
    row[3:7] = "Europe/Berlin", "break", "2027-03-28T02:30", "2027-03-28T02:45"
    shift = row[:4] + ["shift", "2027-03-27T22:00", "2027-03-28T06:00", "false"]
    page.rows[1:] = [shift, row]
    return 3, None, "start"


def other_zone(sample):
    page = page_of(sample)
    page.rows[page.data[2]][3] = "Europe/Rome"
    return page.data[2] + 1, None, "time_zone"


change("own-overlapping-shifts", "own-plain", another_shift, "overlap")
change("own-skipped-local-time", "own-spring", skipped_hour, "02:30")
change("own-two-zones", "own-plain", other_zone, "Europe/Rome")


def head(edit, column=None, line=1):
    def apply(sample):
        page = page_of(sample)
        edit(page.rows[page.header], page.rows)
        return line, None, column
    return apply


def without_column(name):
    def edit(header, rows):
        index = header.index(name)
        for row in rows:
            del row[index]
    return edit


def rename(old, new):
    def edit(header, rows):
        header[header.index(old)] = new
    return edit


change("own-missing-column", "own-plain", head(without_column("mandatory"), "mandatory"), "mandatory")
change("own-duplicate-header", "own-plain", head(rename("team", "start"), "start"), "start")
change("own-too-many-fields", "own-plain", lambda s: (page_of(s).rows[3].append("more") or 4, None, None), "9")
change("own-too-few-fields", "own-plain", lambda s: (page_of(s).rows[3].pop() and 4, None, None), "7")
change("own-header-only", "own-plain", lambda s: (page_of(s).rows.__delitem__(slice(1, None)) or None, None, None), "no rows")
raw("own-empty", "own-plain", lambda data: b"", "empty")
raw("own-nul", "own-plain", lambda data: data.replace(b",Team", b"\0,Team", 1), "NUL", 2)
raw("own-open-quote", "own-plain", lambda data: data.replace(b"\nu_1001,", b'\nu_1001,"', 1), "quote", 2)
raw("own-not-utf8", "own-plain", lambda data: data.replace("ö".encode(), b"\xf6", 1), "utf-8", 2)
raw("own-utf16-under-utf8", "own-plain", lambda data: b"\xff\xfe" + data.decode().encode("utf-16-le"), "UTF-16")
raw("own-utf16-without-mark", "own-utf16-tab", lambda data: data[2:], "byte-order mark")
raw("own-workbook-named-csv", "own-plain", lambda data: build("excel-list-dates", days=2).encode(), "workbook")
raw("own-utf16-cut", "own-utf16-tab", lambda data: data[:1001], "utf-16")
raw("own-german-as-utf8", "own-german", lambda data: data.replace("Tätigkeit".encode("cp1252"), "Tätigkeit".encode()),
    "Tätigkeit", 1, "Tätigkeit")
cell("own-german-month-first", "own-german", "Beginn", "10.19.2026 08:00", "10.19.2026")

# IEX.

cell("iex-line-unknown-agent", "iex-line-plain", 6, "<Unknown>", says="6")
cell("iex-line-month-13", "iex-line-plain", 1, "13102026")
cell("iex-line-half-of-pm", "iex-line-12h", 8, "09:30 A")
cell("iex-line-unknown-activity", "iex-line-plain", 10, "Huddle")
cell("iex-line-unmapped-zone", "iex-line-plain", 2, "HST")
cell("iex-line-hour-49", "iex-line-over24", 9, "49:00", row=2)
change("iex-line-missing-stop", "iex-line-plain", lambda s: (page_of(s).rows[0].pop() and 1, None, None), "")
change("iex-detail-no-fields-line", "iex-detail-cut", head(rename("#fields:excdate", "excdate")), "#fields")
change("iex-detail-field-twice", "iex-detail-cut", head(rename("ssn", "excCode"), "excCode"), "excCode")
cell("iex-detail-stop-2430", "iex-detail-cut", "stopTime", "24:30")
cell("iex-detail-unknown-agent", "iex-detail-cut", "agentName", "<Unknown>")
cell("iex-detail-login-unknown", "iex-detail-12h", "logonID", "99999")
cell("iex-detail-thirteen-pm", "iex-detail-12h", "startTime", "13:05 PM")
change("iex-detail-gap", "iex-detail-bare", lambda s: (page_of(s).rows.pop(1) and 2, None, "8"), "gap")

# CXone.



def comma(sample):
    page = page_of(sample)
    page.rows[page.data[0]][5:6] = ["plan A", " late start"]
    return page.data[0] + 1, None, None


change("cxone-comma-in-notes", "cxone-kolkata", comma, "10")
cell("cxone-wrong-offset", "cxone-berlin", "Local Time Zone", "UTC+05:00")
cell("cxone-offset-without-utc", "cxone-kolkata", "Local Time Zone", "+05:30")
cell("cxone-day-13", "cxone-kolkata", "Shift Start Date and Time", "13/10/2026 08:00:00", "13/10/2026")
cell("cxone-user-in-capitals", "cxone-kolkata", "Username", "Priya.Nair@example.com")
cell("cxone-activity-without-end", "cxone-kolkata", "Activity End Date and Time", "", "Activity End Date and Time")
cell("cxone-two-ends-of-a-shift", "cxone-kolkata", "Shift End Date and Time", "10/19/2026 20:00:00", row=1)
cell("cxone-activity-unknown", "cxone-berlin", "Activity Name", "lnch", row=1)

# Genesys.

cell("genesys-negative-length", "genesys-utc", "Length", "-15")
cell("genesys-length-with-unit", "genesys-utc", "Length", "15 min")
cell("genesys-broken-uuid", "genesys-utc", "Agent ID", "7d1c-not-a-uuid")
cell("genesys-no-offset", "genesys-offset", "Start Date", "2027-03-16T08:00:00")
cell("genesys-offset-25", "genesys-offset", "Start Date", "2027-03-16T08:00:00+25:00", "+25:00")
cell("genesys-decimal-point", "genesys-german", "Dauer", "0.25.5")
change("genesys-overlap", "genesys-utc", lambda s: set_row(0, Length="240")(s) and (3, None, None), "overlap")
cell("genesys-local-half-am", "genesys-local-12h", "Start Date", "10/26/2026 8:00 M", "8:00 M")

# Verint.

cell("verint-unmapped-zone", "verint-windows-zones", "Time Zone", "Hawaiian Standard Time")
cell("verint-no-31-november", "verint-report", "Date", "11/31/2026")
cell("verint-day-first", "verint-report", "Date", "30/11/2026")


def foreign_total(sample):
    rows = page_of(sample).rows
    rows.append(["Summe"] + [""] * 6 + ["321.5"])
    return len(rows), None, "Employee ID"


change("verint-unknown-total", "verint-report", foreign_total, "")
change("verint-wrong-header-row", "verint-report", lambda s: (5, None, "Employee ID"), "Employee ID", lambda p: p.update(header_row=5))
cell("verint-meal-misspelt", "verint-uk-24", "Activity", "Mael")

# Calabrio.

cell("calabrio-point-for-comma", "calabrio-swedish", "Start", "2027-03-15 8,5", "8,5")
cell("calabrio-skipped-time", "calabrio-swedish", "Start", "2027-03-28 02:15", "02:15")
cell("calabrio-end-missing", "calabrio-time-export", 12, "", row=1)
cell("calabrio-number-without-zeros", "calabrio-utc", "Employment number", "16255")

# Alvaria.

cell("alvaria-minute-2900", "alvaria-minutes", "STOP_TIME", "2900")
cell("alvaria-minus-15", "alvaria-minutes", "START_TIME", "-15")
cell("alvaria-code-empty", "alvaria-segments", "SEG_CODE", "", row=1)
cell("alvaria-month-name", "alvaria-quoted", "DATE", "16 Mrz 2027")

# Assembled.

cell("assembled-milliseconds", "assembled-epoch", "start_time", "1773043200000")
cell("assembled-unknown-user", "assembled-iana", "agent_email", "nobody@example.com")
cell("assembled-abbreviation", "assembled-iana", "time_zone", "CEST")

# Workbooks.

cell("excel-ref-error", "excel-list-dates", "Start", "#REF!")
cell("excel-value-error", "excel-list-dates", "End", "#VALUE!", row=2)
cell("excel-formula-without-value", "excel-list-dates", "Start", "=E4+1", "")
cell("excel-text-for-date", "excel-list-dates", "Start", "19/10/2026 08:00")
cell("excel-not-a-number", "excel-list-numbers", "Start", "n/a")
cell("excel-negative-number", "excel-list-numbers", "Start", -46314.5, "-46314.5")
cell("excel-number-of-1900", "excel-list-numbers", "Start", 60, "60")
cell("excel-date-for-text", "excel-list-text", "Start", dt.datetime(2026, 10, 26, 8, 0), "")
cell("excel-time-of-26", "excel-list-date-and-time", "Start", "26:00")
change("excel-merged-data", "excel-list-dates", lambda s: (page_of(s).merged.append(f"E{page_of(s).data[0] + 1}:F{page_of(s).data[0] + 1}")
                                                           or page_of(s).data[0] + 1, "Schedule", None), "merged")
raw("excel-truncated", "excel-list-dates", lambda data: fixed_zip(data, zipfile.ZIP_STORED)[:6000], "workbook")
raw("excel-password", "excel-list-dates", lambda data: compound("EncryptedPackage"), "password")
raw("excel-old-format", "excel-list-dates", lambda data: compound("Workbook"), ".xls")
raw("excel-is-a-csv", "excel-list-dates", lambda data: b"Employee No;Name\n008336;M\xc3\xbcller\n", "workbook")
raw("excel-broken-part", "excel-list-dates", patched("xl/workbook.xml", lambda body: body[:100]), "workbook")


def another_name(sample):
    page_of(sample).name = "Plan"
    return None, "Schedule", None


change("excel-wrong-sheet", "excel-list-dates", another_name, "Schedule")


def second_header(sample):
    page = sample.sheets[1]
    page.rows[0][page.column("Start")] = "From"
    return 1, page.name, "Start"


def same_week_twice(sample):
    first, second = sample.sheets[:2]
    second.rows.insert(1, list(first.rows[first.data[0]]))
    return 2, second.name, "Start"


def two_weeks(base):
    people = build(base).agents[:3]
    return build(base, agents=people, days=14)


def change_two(name, base, edit, reason):
    sample = two_weeks(base)
    line, sheet, column = edit(sample)
    profile = sample.profile if sample.profile != build(base).profile else None
    FAULTS.append(Fault(name, sample, sample.encode(), line, column, reason, sheet, profile))


change_two("excel-second-header-differs", "excel-weeks", second_header, "Start")
change_two("excel-sheets-overlap", "excel-weeks-pattern", same_week_twice, "overlap")
change_two("excel-no-sheet-fits", "excel-weeks-pattern",
           lambda s: [setattr(x, "name", x.name.replace("KW", "Week")) for x in s.sheets] and (None, "KW*", None), "KW*")

# Wide tables.


def cell_of_day(name, base, value, reason=None, row=0, day=0, says=None):
    sample = small(base)
    page = page_of(sample)
    index = page.data[row]
    lead = len(sample.opt("lead", ["Agent ID", "Name", "Team"]))
    where = lead + day
    page.rows[index][where] = value
    heading = page.rows[page.header][where]
    heading = heading.isoformat() if isinstance(heading, dt.date) else heading
    FAULTS.append(Fault(name, sample, sample.encode(), index + 1, says or heading, reason if reason is not None else value, page.name))


cell_of_day("wide-no-end", "wide-iso", "09:00-")
cell_of_day("wide-no-dash", "wide-iso", "09:00 17:30")
cell_of_day("wide-open-bracket", "wide-iso", "09:00-17:30 (L 13:00-13:30")
cell_of_day("wide-unknown-letter", "wide-iso", "09:00-17:30 (Q 13:00-13:30)", "Q")
cell_of_day("wide-lunch-outside", "wide-iso", "09:00-17:30 (L 18:00-18:30)", "outside")
cell_of_day("wide-empty-day", "wide-iso", "")
cell_of_day("wide-unknown-code", "wide-codes", "X")
cell_of_day("wide-half-am", "wide-us-12h", "8:00 - 4:30 PM", "8:00")
change("wide-day-twice", "wide-iso", head(rename("2026-10-20", "2026-10-19"), "2026-10-19"), "2026-10-19")
change("wide-heading-no-date", "wide-iso", head(rename("2026-10-20", "Tuesday"), "Tuesday"), "Tuesday")


def agent_twice(sample):
    page = page_of(sample)
    page.rows.append(list(page.rows[page.data[0]]))
    page.rows[-1][3:] = ["12:00-20:00"] * len(page.rows[-1][3:])
    return len(page.rows), None, None


change("wide-agent-twice", "wide-iso", agent_twice, "overlap")
change("wide-no-year", "wide-german", lambda s: (1, None, None), "year", lambda p: p.pop("year"))
cell_of_day("excel-wide-error", "excel-wide-merged", "#N/A")
change("excel-wide-merged-days", "excel-wide-merged", lambda s: (page_of(s).merged.append(f"D{page_of(s).data[0] + 1}:E{page_of(s).data[0] + 1}")
                                                                or page_of(s).data[0] + 1, "Roster", None), "merged")

# A row for each day.


def ambiguous(sample):
    """Every date could be read both ways, and the profile does not say which is meant."""
    page = page_of(sample)
    for n, index in enumerate(page.data):
        page.rows[index][2] = f"{n % 12 + 1:02}/04/2026"
    return None, None, "Date"


change("daily-ambiguous-dates", "daily-uk", ambiguous, "/04/2026", lambda p: p.update(date_format=""))
cell("daily-day-13-month-first", "daily-us-12h", "Date", "13/03/2027")
cell("daily-break-without-end", "daily-roster-zones", "Break 1 End", "", "Break 1 End")
cell("daily-break-outside", "daily-roster-zones", "Break 2 End", "22:00", "outside", says="Break 2 Start")
cell("daily-two-commas", "daily-decimal-hours", "Dienstbeginn", "8,7,5")
cell("daily-negative-day", "daily-day-numbers", "Date", "-3")
cell("daily-day-in-letters", "daily-day-numbers", "Date", "Monday")
cell("daily-half-pm", "daily-us-12h", "Shift End", "4:30")

# Infor.


def list_cell(name, value, reason=None):
    sample = small("infor-breaks")
    page = page_of(sample)
    index = page.data[0]
    column = page.column("Sch_Break_String")
    old = page.rows[index][column]
    page.rows[index][column] = value(old)
    FAULTS.append(Fault(name, sample, sample.encode(), index + 1, "Sch_Break_String", reason, None))


list_cell("infor-odd-parts", lambda old: old.split("~")[0].rsplit(",", 1)[0], "parts")
list_cell("infor-no-tilde", lambda old: old.replace("~", ",", 1), "parts")
list_cell("infor-end-before-start", lambda old: ",".join([old.split(",")[1], old.split(",")[0], "BRK", "REG"]), "not after the start")
list_cell("infor-unknown-code", lambda old: old.replace("LUN", "SPA"), "SPA")
list_cell("infor-break-on-another-day", lambda old: old.replace("20261130", "20261129").replace("20261201", "20261129"), "outside")

# Calendars.


def text(edit):
    return lambda data: edit(data.decode()).encode()


raw("calendar-unknown-zone", "calendar-zones", text(lambda t: t.replace("TZID=Europe/Berlin", "TZID=Europe/Belin", 1)), "Europe/Belin", 10)
raw("calendar-truncated", "calendar-zones", text(lambda t: t[:len(t) // 2]), "END")
raw("calendar-endless-rule", "calendar-weekly", text(lambda t: t.replace(";COUNT=5", "", 1)), "COUNT")
raw("calendar-every-second", "calendar-weekly", text(lambda t: t.replace("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "FREQ=SECONDLY", 1)), "SECONDLY")
raw("calendar-end-before-start", "calendar-utc", text(lambda t: t.replace("DTEND:2026", "DTEND:2025", 1)), "after")


def all_of_them():
    return FAULTS
