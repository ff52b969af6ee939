"""The shapes of schedule files, one function each, and the list of samples.

A function writes the rows of a sample and the profile that a person would state to have them read without a guess.
"""
import datetime as dt

import truth
from sample import Sample
from truth import KINDS, localtime

AUTUMN, SPRING, WINTER = dt.date(2026, 10, 19), dt.date(2027, 3, 15), dt.date(2026, 11, 30)
US_AUTUMN, US_SPRING, SOUTH = dt.date(2026, 10, 26), dt.date(2027, 3, 8), dt.date(2026, 9, 28)

ENGLISH = {"work": "Open", "break": "Break", "lunch": "Lunch", "training": "Training", "meeting": "Meeting", "coaching": "Coaching"}
GERMAN = {"work": "Telefonie", "break": "Pause", "lunch": "Mittagspause", "training": "Schulung", "meeting": "Besprechung",
          "coaching": "Coaching"}


def activities(words):
    """The table that says what each activity of the file is. Work needs no entry: it goes into `work`."""
    return {name: {"activity": kind, "mandatory": KINDS[kind][0], "paid": KINDS[kind][1]}
            for kind, name in words.items() if kind in KINDS}


def one_zone(s, agent_zone="file"):
    """All times in one zone. The agents' own zone is the same, or the roster's."""
    s.profile["time_zone"] = s.zone
    if agent_zone == "roster":
        s.profile["agent_zone"] = "roster"
    else:
        s.agent_zone = lambda a: s.zone


def days_of(s, agent):
    return [s.first + dt.timedelta(days=n) for n in range(s.days)]


def own_shifts(s, agent):
    return sorted((x for x in s.shifts if x.agent == agent), key=lambda x: x.start)


def hours(span):
    return (span.end - span.start).total_seconds() / 3600


def letters(number):
    """The name of a column in a workbook: A to Z, then AA."""
    return (chr(64 + (number - 1) // 26) if number > 26 else "") + chr(65 + (number - 1) % 26)


# 1. The table of docs/schedules.md.

def own(s):
    page = s.sheet()
    header = s.opt("header", "agent_id agent_name team time_zone activity start end mandatory".split())
    words = s.opt("words", {"shift": "shift"} | {kind: kind for kind in KINDS})
    yes, no = s.opt("yes_no", ("true", "false"))
    if s.opt("last_first"):
        s.named = lambda a: f"{a.last}{s.opt('last_first')} {a.first}"
    page.head(*header)
    for agent in s.agents:
        for shift in own_shifts(s, agent):
            rows = [("shift", shift.start, shift.end, False)]
            rows += [(a.kind, a.start, a.end, KINDS[a.kind][0]) for a in shift.activities]
            for kind, start, end, mandatory in rows:
                page.add(s.agent(agent), s.named(agent), agent.team, agent.zone, words[kind], s.stamp(s.local(agent, start)),
                         s.stamp(s.local(agent, end)), yes if mandatory else no)
    p = s.base_profile("activities", agent_key=s.key)
    s.dates()
    p |= {"time_zone": "column", "shifts": "row", "shift_activity": words["shift"]}
    p["columns"] = dict(zip("agent name team time_zone activity start end mandatory".split(), header))
    if (yes, no) != ("true", "false"):
        p["yes"], p["no"] = [yes], [no]
    if "words" in s.look:
        p["activities"] = {words[kind]: {"activity": kind, "paid": KINDS[kind][1]} for kind in KINDS}


# 2. IEX, one line for each agent and day: activity, start and stop again and again to the end of the line.

IEX_ZONES = {"CET": "Europe/Berlin", "GMT": "Europe/London", "EST": "America/New_York", "MST": "America/Phoenix",
             "PST": "Asia/Manila"}


def iex_line(s):
    page = s.sheet()
    zones = {zone: name for name, zone in IEX_ZONES.items()}
    s.named, s.teamed = (lambda a: f"{a.last}, {a.first}"), (lambda a: None)
    if s.opt("title"):
        page.note(s.opt("title"))
    for agent in s.agents:
        shifts = {localtime(x.start, agent.zone).date(): x for x in own_shifts(s, agent)}
        for day in days_of(s, agent):
            shift = shifts.get(day)
            lead = [s.date(day), zones[agent.zone], "1", "204", s.agent(agent), s.named(agent)]
            if shift is None:
                page.add(*lead, "Off") if s.opt("off_lines") else None
                continue
            cells = []
            for a in shift.cover():
                cells += [ENGLISH[a.kind], s.time(s.local(agent, a.start), day), s.time(s.local(agent, a.end), day)]
            page.add(*lead, *cells)
    if s.opt("total"):
        page.note("TOTAL", str(len(page.data)))
    p = s.base_profile("days", agent_key=s.key)
    if s.opt("title"):
        p["skip"] = [s.opt("title"), "TOTAL"]
    s.dates()
    p |= {"time_zone": "column", "shifts": "touching"}
    p["time_zones"] = {name: zone for name, zone in IEX_ZONES.items() if zone in {a.zone for a in s.agents}}
    p["columns"] = {"date": 1, "time_zone": 2, "agent": 5, "name": 6}
    p["repeat"] = {"from": 7, "columns": ["activity", "start", "end"]}
    p["work"] = ["Open"]
    if s.opt("off_lines"):
        p["off"] = ["Off"]
    p["activities"] = activities(ENGLISH)


# 3. IEX agentScheduleDetail: one line for each activity, perhaps cut at midnight.

def iex_activity(s):
    page = s.sheet()
    fields = s.opt("fields", "excdate schedDate TZ custID muID tvID acdID logonID ssn agentName excCode startTime stopTime".split())
    prefix = s.opt("prefix", "#fields:")
    s.named, s.teamed = (lambda a: f"{a.last}, {a.first}"), (lambda a: None)
    zones = {zone: name for name, zone in IEX_ZONES.items()}
    if prefix:
        page.head(prefix + fields[0], *fields[1:])

    def line(agent, day, code, date, start, stop):
        cells = {"excdate": s.date(date), "schedDate": s.date(day), "TZ": zones[agent.zone], "custID": "1", "muID": "204",
                 "tvID": agent.employee_no, "acdID": "1", "logonID": agent.login, "ssn": agent.employee_no, "agentName": s.named(agent),
                 "excCode": code, "startTime": start, "stopTime": stop}
        page.add(*(cells[name] for name in fields))

    for agent in s.agents:
        for shift in own_shifts(s, agent):
            day = localtime(shift.start, agent.zone).date()
            pieces = []
            for a in shift.cover():
                start, end = s.local(agent, a.start), s.local(agent, a.end)
                midnight = dt.datetime.combine(start.date() + dt.timedelta(days=1), dt.time())
                if s.opt("cut") and start < midnight < end:
                    pieces += [(a.kind, start, midnight), (a.kind, midnight, end)]
                else:
                    pieces.append((a.kind, start, end))
            if s.opt("overlay"):
                pieces.insert(1, (s.opt("overlay"), pieces[0][1], pieces[-1][2]))
            for kind, start, end in pieces:
                line(agent, day, ENGLISH.get(kind, kind), start, s.time(start), s.time(end, start.date()))
        if s.opt("vacation"):
            day = s.first + dt.timedelta(days=s.days)
            line(agent, day, "Vacation", day, s.time(dt.datetime.combine(day, dt.time())), "2400")
    p = s.base_profile("activities")
    if prefix:
        p["header_prefix"] = prefix.strip(": ")
    p["agent_key"] = s.key
    s.dates()
    named = fields if prefix else list(range(1, len(fields) + 1))
    where = dict(zip(fields, named))
    key = where["logonID"] if s.key == "login" else where["tvID"]
    p |= {"time_zone": "column", "shifts": "key" if s.opt("by_date") else "touching"}
    if s.opt("cut"):
        p["join_at_midnight"] = True
    p["columns"] = {"agent": key, "name": where["agentName"], "time_zone": where["TZ"], "activity": where["excCode"],
                    "date": where["schedDate" if s.opt("by_date") else "excdate"], "start": where["startTime"], "end": where["stopTime"]}
    if s.opt("by_date"):
        p["columns"]["shift"] = where["schedDate"]
    p["time_zones"] = {name: zone for name, zone in IEX_ZONES.items() if zone in {a.zone for a in s.agents}}
    p["work"] = ["Open"]
    if s.opt("vacation"):
        p["off"] = ["Vacation"]
    if s.opt("overlay"):
        p["ignore"] = [s.opt("overlay")]
    p["activities"] = activities(ENGLISH)


# 4. The CSV file of CXone's Import Schedule: the shift again in each of its lines, an offset for the zone.

def cxone(s):
    page = s.sheet()
    header = ["Username", "Shift Start Date and Time", "Shift End Date and Time", "Local Time Zone", "Base Activity Name", "Shift Notes",
              "Activity Start Date and Time", "Activity End Date and Time", "Activity Name"]
    s.named = s.teamed = lambda a: None
    for line in s.opt("instructions", []):
        page.note(*line)
    page.head(*header)
    for number, agent in enumerate(s.agents):
        if s.opt("repeat_header") and number:
            page.note(*header)
        for shift in own_shifts(s, agent):
            offset = int(shift.start.astimezone(truth.ZoneInfo(s.zone)).utcoffset().total_seconds() // 60)
            sign, offset = "-" if offset < 0 else "+", abs(offset)
            lead = [s.agent(agent), s.stamp(s.local(agent, shift.start)), s.stamp(s.local(agent, shift.end)),
                    f"UTC{sign}{offset // 60:02}:{offset % 60:02}", "open", s.opt("note", "")]
            if s.opt("shift_lines") or not shift.activities:
                page.add(*lead, "", "", "")
            for a in shift.activities:
                page.add(*lead, s.stamp(s.local(agent, a.start)), s.stamp(s.local(agent, a.end)), a.kind)
    p = s.base_profile("shifts", agent_key=s.key)
    s.dates()
    one_zone(s)
    p["offset"] = "check"
    p["columns"] = {"agent": "Username", "shift_start": header[1], "shift_end": header[2], "offset": header[3],
                    "start": header[6], "end": header[7], "activity": header[8]}
    p["activities"] = {kind: {"activity": kind, "mandatory": KINDS[kind][0], "paid": KINDS[kind][1]} for kind in KINDS}


# 5. Genesys Cloud: a list of activities.

GENESYS = {"work": "On Queue Work", "break": "Break", "lunch": "Meal", "training": "Training", "meeting": "Meeting", "coaching": "Coaching"}


def genesys(s):
    page = s.sheet()
    english = s.language == "en"
    words = GENESYS if english else GERMAN
    header = s.opt("header", ["Agent ID", "Agent Name", "Management Unit", "Shift ID", "Activity Code", "Start Date", "Length", "Paid"])
    length = s.opt("length", "minutes")
    s.teamed = lambda a: a.team
    page.head(*header)
    number = 0
    for agent in s.agents:
        for shift in own_shifts(s, agent):
            number += 1
            for a in shift.cover():
                minutes = (a.end - a.start).total_seconds() / 60
                if length == "end":
                    last = s.stamp(s.local(agent, a.end)) + s.offset(agent, a.end)
                elif length == "hours":
                    last = s.number(round(minutes / 60, 4))
                else:
                    last = str(int(minutes))
                paid = a.kind == "work" or KINDS[a.kind][1]
                page.add(s.agent(agent), s.named(agent), agent.team, str(number), words[a.kind],
                         s.stamp(s.local(agent, a.start)) + s.offset(agent, a.start), last,
                         ("yes" if paid else "no") if english else ("ja" if paid else "nein"))
    p = s.base_profile("activities", agent_key=s.key)
    s.dates()
    if s.zone:
        one_zone(s, s.opt("agent_zone", "file"))
    else:
        p |= {"time_zone": "value", "agent_zone": "roster"}
    p["shifts"] = "key" if length != "end" else "touching"
    if length != "end":
        p["duration"] = length
    p["columns"] = {"agent": header[0], "name": header[1], "team": header[2], "activity": header[4], "start": header[5],
                    ("end" if length == "end" else "duration"): header[6]}
    if length != "end":
        p["columns"]["shift"] = header[3]
    p["work"] = [words["work"]]
    p["activities"] = activities(words)


# 6. Verint: a report of activities, with a title above and totals among and below the rows.

WINDOWS_ZONES = {"W. Europe Standard Time": "Europe/Berlin", "GMT Standard Time": "Europe/London", "Eastern Standard Time": "America/New_York",
                 "India Standard Time": "Asia/Kolkata", "Singapore Standard Time": "Asia/Manila", "US Mountain Standard Time": "America/Phoenix",
                 "AUS Eastern Standard Time": "Australia/Sydney"}
VERINT = {"work": "Phone - Inbound", "break": "Break", "lunch": "Meal", "training": "Training", "meeting": "Team Meeting", "coaching": "Coaching"}


def verint(s):
    page = s.sheet()
    zones = {zone: name for name, zone in WINDOWS_ZONES.items()}
    if s.opt("last_first"):
        s.named = lambda a: f"{a.last}, {a.first}"
    header = ["Organization", "Employee", "Employee ID", "Date", "Activity", "Start", "End", "Hours"]
    if not s.zone:
        header.insert(3, "Time Zone")
    for line in s.opt("title", []):
        page.note(*line)
    page.head(*header)
    width = len(header)
    for agent in s.agents:
        total = 0
        shifts = {s.local(agent, x.start).date(): x for x in own_shifts(s, agent)}
        for day in days_of(s, agent):
            lead = [agent.team, s.named(agent), s.agent(agent)] + ([] if s.zone else [zones[agent.zone]])
            shift = shifts.get(day)
            if shift is None:
                if s.opt("off_lines"):
                    page.add(*lead, s.date(day), "No shift" if day.weekday() < 5 else "Off", "", "", s.number(0))
                continue
            for a in shift.cover():
                start, end = s.local(agent, a.start), s.local(agent, a.end)
                length = round(hours(a), 2)
                total += length
                page.add(*lead, s.date(start), VERINT[a.kind], s.time(start), s.time(end, start.date()), s.number(length))
        if s.opt("subtotals"):
            page.note(f"Subtotal {s.named(agent)}", *[""] * (width - 2), s.number(round(total, 2)))
            page.note()
    for line in s.opt("footer", []):
        page.note(*line)
    p = s.base_profile("activities", agent_key=s.key)
    if s.opt("subtotals"):
        p["skip"] = ["Subtotal", "Grand total", "Printed"]
    s.dates()
    if s.zone:
        one_zone(s)
    else:
        p["time_zone"] = "column"
        p["time_zones"] = {name: zone for name, zone in WINDOWS_ZONES.items() if zone in {a.zone for a in s.agents}}
    p["shifts"] = "touching"
    p["columns"] = {"agent": "Employee ID", "name": "Employee", "team": "Organization", "date": "Date", "activity": "Activity",
                    "start": "Start", "end": "End"}
    if not s.zone:
        p["columns"]["time_zone"] = "Time Zone"
    p["work"] = [VERINT["work"]]
    if s.opt("off_lines"):
        p["off"] = ["Off", "No shift"]
    p["activities"] = activities(VERINT)


# 7. Calabrio (Teleopti): rows of activities, or of whole days as in the time export for payroll.

def calabrio(s):
    page = s.sheet()
    words = s.opt("words", {**ENGLISH, "work": "Phone"})
    header = s.opt("header", ["Employment number", "First name", "Last name", "Business unit", "Site", "Team", "Date", "Activity", "Start", "End",
                              "Paid time"])
    page.head(*header)
    for agent in s.agents:
        for shift in own_shifts(s, agent):
            day = localtime(shift.start, agent.zone).date()
            for a in shift.cover():
                length = hours(a) if a.kind == "work" or KINDS[a.kind][1] else 0.0
                paid = s.number(round(length, 2)) if s.decimal == "," else f"{int(length):02}:{round(length % 1 * 60):02}"
                page.add(s.agent(agent), agent.first, agent.last, "Care", "Main site", agent.team, s.date(day), words[a.kind],
                         s.stamp(s.local(agent, a.start)), s.stamp(s.local(agent, a.end)), paid)
    p = s.base_profile("activities", agent_key=s.key)
    s.dates()
    one_zone(s, s.opt("agent_zone", "file"))
    p["shifts"] = "touching"
    p["columns"] = {"agent": header[0], "name": header[1:3], "team": header[5], "activity": header[7], "start": header[8], "end": header[9]}
    p["work"] = [words["work"]]
    p["activities"] = activities(words)


def calabrio_days(s):
    """The time export: one row for each employee and day, by position, without activities."""
    page = s.sheet()
    for shift in s.shifts:
        shift.activities = []
    for agent in s.agents:
        shifts = {localtime(x.start, agent.zone).date(): x for x in own_shifts(s, agent)}
        for day in days_of(s, agent):
            shift = shifts.get(day)
            lead = [s.agent(agent), agent.first, agent.last, "Care", "Main site", agent.team, "Full time", "100%", "10000", s.date(day)]
            if shift is None:
                page.add(*lead, "", "", "", "00:00", "00:00", "00:00", *(("VAC", "") if day.weekday() == 2 else ("", "DO")))
            else:
                page.add(*lead, s.stamp(s.local(agent, shift.start)), s.stamp(s.local(agent, shift.end)), "Day", "08:00", "08:00", "08:00",
                         "", "")
    p = s.base_profile("shifts", agent_key=s.key)
    s.dates()
    one_zone(s, "roster")
    p["columns"] = {"agent": 1, "name": [2, 3], "team": 6, "shift_start": 11, "shift_end": 12}


# 8. Aspect, now Alvaria: segments with a code, the work segment as the frame of the others.

ALVARIA = {"shift": "WORK", "break": "BRK", "lunch": "LUN", "training": "TRN", "meeting": "MTG", "coaching": "COA"}


def alvaria(s):
    page = s.sheet()
    header = ["EMP_ID", "EMP_NAME", "STAFF_GROUP", "DATE", "SEG_CODE", "START_TIME", "STOP_TIME", "MEMO"]
    s.named = lambda a: f"{a.last}, {a.first}"
    page.head(*header)
    for agent in s.agents:
        for shift in own_shifts(s, agent):
            day = s.local(agent, shift.start).date()
            for kind, start, end in [("shift", shift.start, shift.end)] + [(a.kind, a.start, a.end) for a in shift.activities]:
                start, end = s.local(agent, start), s.local(agent, end)
                base = day if s.midnight == "over_24" else start.date()
                memo = s.opt("memo", "") if kind == "training" else ""
                page.add(s.agent(agent), s.named(agent), agent.team, s.date(base), ALVARIA[kind],
                         s.time(start, base), s.time(end, base), memo)
    p = s.base_profile("activities", agent_key=s.key)
    s.dates()
    if s.zone:
        one_zone(s)
    else:
        p["time_zone"] = "roster"
    p |= {"shifts": "row", "shift_activity": "WORK"}
    p["columns"] = {"agent": "EMP_ID", "name": "EMP_NAME", "team": "STAFF_GROUP", "date": "DATE", "activity": "SEG_CODE",
                    "start": "START_TIME", "end": "STOP_TIME"}
    p["activities"] = activities(ALVARIA)


# 9. Assembled: events of people who are named by their e-mail address.

ASSEMBLED = {"work": "Phone", "break": "Break", "lunch": "Lunch", "training": "Training", "meeting": "Team Meeting", "coaching": "1:1"}


def assembled(s):
    page = s.sheet()
    mode = s.opt("mode")
    header = ["agent_email", "event_type", "start_time", "end_time"] + (["time_zone"] if mode == "column" else []) + ["description"]
    s.named = s.teamed = lambda a: None
    page.head(*header)
    for agent in s.agents:
        for shift in own_shifts(s, agent):
            for a in shift.cover():
                if mode == "epoch":
                    start, end = (str(int(t.timestamp())) for t in (a.start, a.end))
                else:
                    start, end = (s.stamp(s.local(agent, t)) + s.offset(agent, t) for t in (a.start, a.end))
                page.add(s.agent(agent), ASSEMBLED[a.kind], start, end, *([agent.zone] if mode == "column" else []), "")
    p = s.base_profile("activities", agent_key=s.key)
    if mode == "epoch":
        p |= {"date_format": "unix_seconds", "time_zone": "value", "agent_zone": "roster"}
    else:
        s.dates()
        if mode == "column":
            p["time_zone"] = "column"
        else:
            p |= {"time_zone": "value", "agent_zone": "roster"}
    p["shifts"] = "touching"
    p["columns"] = {"agent": "agent_email", "activity": "event_type", "start": "start_time", "end": "end_time"}
    if mode == "column":
        p["columns"]["time_zone"] = "time_zone"
    p["work"] = ["Phone"]
    p["activities"] = activities(ASSEMBLED)


# 10 and 11. Workbooks: a list on one sheet, or on a sheet for each team or week.

LIST = ["Employee No", "Name", "Team", "Activity", "Start", "End"]


def list_rows(s, page, agents, keep=lambda shift: True):
    for agent in agents:
        for shift in own_shifts(s, agent):
            if not keep(shift):
                continue
            for kind, start, end in [("shift", shift.start, shift.end)] + [(a.kind, a.start, a.end) for a in shift.activities]:
                start, end = s.local(agent, start), s.local(agent, end)
                if s.opt("separate_time"):
                    times = [s.date(start), s.time(start), s.time(end)]
                else:
                    times = [s.stamp(start), s.stamp(end)]
                page.add(s.agent(agent), s.named(agent), *([] if s.opt("team_sheets") else [agent.team]),
                         "Shift" if kind == "shift" else ENGLISH[kind], *times)


def list_profile(s, header):
    p = s.base_profile("activities", agent_key=s.key)
    s.dates()
    one_zone(s)
    p |= {"shifts": "row", "shift_activity": "Shift"}
    p["columns"] = {"agent": "Employee No", "name": "Name", "activity": "Activity", "start": header[-2], "end": header[-1]}
    if "Team" in header:
        p["columns"]["team"] = "Team"
    if "Date" in header:
        p["columns"]["date"] = "Date"
    p["activities"] = activities(ENGLISH)
    return p


def excel_list(s):
    page = s.sheet("Schedule")
    header = LIST[:4] + (["Date"] if s.opt("separate_time") else []) + LIST[4:]
    for line in s.opt("title", []):
        page.note(*line)
        page.merged.append(f"A{len(page.rows)}:{'ABCDEFGHIJ'[len(header) - 1]}{len(page.rows)}")
    page.head(*header)
    look = s.opt("number_format", "dd/mm/yyyy hh:mm")
    if s.date_format == "cell" and not s.opt("separate_time"):
        page.formats = {5: look, 6: look}
    list_rows(s, page, s.agents)
    if s.opt("total"):
        page.note()
        page.note("Total shifts", "", "", "", len(s.shifts))
    p = list_profile(s, header)
    p["sheets"] = ["Schedule"]
    if s.opt("total"):
        p["skip"] = ["Total"]


def excel_sheets(s):
    """Sheets for teams or weeks, and one that holds no schedule."""
    header = [name for name in LIST if not (s.opt("team_sheets") and name == "Team")]
    if s.opt("team_sheets"):
        for team in sorted({a.team for a in s.agents}):
            page = s.sheet(team)
            page.head(*header)
            list_rows(s, page, [a for a in s.agents if a.team == team])
    else:
        for week in range(0, s.days, 7):
            from_, to = s.first + dt.timedelta(days=week), s.first + dt.timedelta(days=week + 7)
            page = s.sheet(f"{s.opt('week', 'Week')} {from_.isocalendar().week}")
            page.head(*header)
            list_rows(s, page, s.agents, lambda x: from_ <= localtime(x.start, s.zone).date() < to)
    for page in s.sheets:
        if s.date_format == "cell":
            page.formats = {len(header) - 1: "yyyy-mm-dd hh:mm", len(header): "yyyy-mm-dd hh:mm"}
    names = [page.name for page in s.sheets]
    p = list_profile(s, header)
    p["sheets"] = s.opt("pattern") or names
    if s.opt("team_sheets"):
        p["team_from"] = "sheet"
    legend = s.sheet("Legend")
    legend.note("Code", "Meaning")
    legend.note("Lunch", "30 minutes, unpaid")
    legend.hidden = bool(s.opt("hidden_legend"))
    if s.opt("pattern"):
        p["skip_sheets"] = ["Legend"]


# 12 and 13. Wide tables: one row for each agent, one column (or two) for each day.

SHORT = {"break": "B", "lunch": "L", "training": "T", "meeting": "M", "coaching": "C"}


def cell_text(s, agent, shift, codes=None):
    day = s.local(agent, shift.start).date()
    span = lambda start, end: s.time(s.local(agent, start), day) + s.opt("dash", "-") + s.time(s.local(agent, end), day)
    inside = s.opt("separator", "; ").join(f"{SHORT[a.kind]} {span(a.start, a.end)}" for a in shift.activities)
    if not inside or s.opt("no_activities"):
        return span(shift.start, shift.end)
    if s.opt("lines"):
        return span(shift.start, shift.end) + "\n" + "\n".join(f"{SHORT[a.kind]} {span(a.start, a.end)}" for a in shift.activities)
    return f"{span(shift.start, shift.end)} ({inside})"


def shift_codes(s):
    """Codes instead of times: every shift is one of a few, with its lunch at a fixed time."""
    table = {"E": (6 * 60, 870), "L": (13 * 60 + 30, 22 * 60), "N": (22 * 60, 22 * 60 + 510)}
    clock = lambda m: f"{m // 60 % 24:02}:{m % 60:02}"
    s.shifts, codes = [], {}
    for number, agent in enumerate(s.agents):
        for day in days_of(s, agent):
            if (day.toordinal() + number * 2) % 7 < 2:
                continue
            code = "ELN"[(number + day.isocalendar().week) % 3]
            begin = dt.datetime.combine(day, dt.time()) + dt.timedelta(minutes=table[code][0])
            at = lambda minutes: truth.instant(begin + dt.timedelta(minutes=minutes), agent.zone)
            end = table[code][1] - table[code][0]
            if None in (at(0), at(240), at(270), at(end)) or own_shifts(s, agent) and at(0) < own_shifts(s, agent)[-1].end:
                continue
            s.shifts.append(truth.Shift(agent, at(0), at(end), [truth.Activity("lunch", at(240), at(270))]))
            codes[(agent.id, day)] = code
    s.codes = {code: {"start": clock(a), "end": clock(b), "activities": [{"activity": "L", "start": clock(a + 240), "end": clock(a + 270)}]}
               for code, (a, b) in table.items()}
    return codes


def wide(s):
    page = s.sheet("Roster" if s.ext == "xlsx" else None)
    codes = shift_codes(s) if s.opt("codes") else {}
    off, vacation = s.opt("off", ("OFF", "VAC"))
    lead = s.opt("lead", ["Agent ID", "Name", "Team"])
    pair = s.opt("pair")
    days = days_of(s, s.agents[0])
    heads = [s.date(day, s.opt("heading", "YYYY-MM-DD")) for day in days]
    for line in s.opt("title", []):
        page.note(*line)
        if s.ext == "xlsx":
            page.merged.append(f"A{len(page.rows)}:{letters(len(lead) + len(days) * (2 if pair else 1))}{len(page.rows)}")
    if s.opt("weeks"):
        row = [""] * len(lead)
        for n, day in enumerate(days):
            row.append(f"Week {day.isocalendar().week}" if n % 7 == 0 else "")
            if n % 7 == 0:
                first, last = letters(len(lead) + n + 1), letters(len(lead) + min(n + 7, len(days)))
                page.merged.append(f"{first}{len(page.rows) + 1}:{last}{len(page.rows) + 1}")
        page.note(*row)
    if pair:
        row = list(lead)
        for n, head in enumerate(heads):
            row += [head, ""]
            page.merged.append(f"{letters(len(lead) + 2 * n + 1)}{len(page.rows) + 1}:{letters(len(lead) + 2 * n + 2)}{len(page.rows) + 1}")
        page.head(*row)
        page.note(*[""] * len(lead), *["Start", "End"] * len(days))
    else:
        page.head(*lead, *heads, *s.opt("after", []))
    header = page.rows[page.header]
    if s.ext == "xlsx" and s.opt("heading") == "cell":
        page.formats = {n + len(lead) + 1: "ddd dd/mm" for n in range(len(days) * 2 if pair else len(days))}
    if s.opt("no_activities"):
        for shift in s.shifts:
            shift.activities = []
    for number, agent in enumerate(s.agents):
        absent = s.opt("absent") and number == len(s.agents) - 1
        if absent:
            s.shifts = [x for x in s.shifts if x.agent != agent]
        shifts = {s.local(agent, x.start).date(): x for x in own_shifts(s, agent)}
        row = [s.agent(agent), *([s.named(agent)] if len(lead) > 1 else []), *([agent.team] if len(lead) > 2 else [])]
        if s.opt("repeat_header") and number and number % 2 == 0:
            page.note(f"Subtotal {s.agents[number - 1].team}")
            page.note()
            page.note(*header)
        for day in days:
            shift = shifts.get(day)
            if pair:
                if shift is None:
                    row += [off, ""]
                else:
                    row += [s.time(s.local(agent, shift.start), day), s.time(s.local(agent, shift.end), day)]
            elif codes.get((agent.id, day)):
                row.append(codes[(agent.id, day)])
            else:
                row.append(cell_text(s, agent, shift) if shift else vacation if absent or day.weekday() == 2 else off)
        if s.opt("after"):
            row.append(s.number(round(sum(hours(x) for x in shifts.values()), 2)))
        page.add(*row)
    for line in s.opt("footer", []):
        page.note(*line)
    if s.opt("legend"):
        legend = s.sheet("Legend")
        for line in (("E", "06:00-14:30"), ("L", "13:30-22:00"), ("N", "22:00-06:30")):
            legend.note(*line)
    p = s.base_profile("wide", agent_key=s.key)
    if s.ext == "xlsx":
        p["sheets"] = ["Roster"]
    skip = (["Subtotal"] if s.opt("repeat_header") else []) + [line[0].split(" ")[0].rstrip(":") for line in s.opt("footer", []) if line]
    if skip:
        p["skip"] = skip
    p["date_format"] = s.opt("heading", "YYYY-MM-DD")
    if "Y" not in p["date_format"] and p["date_format"] != "cell":
        p["year"] = s.first.year
    p["time_format"] = s.time_format
    if s.decimal != ".":
        p["decimal"] = s.decimal
    p["midnight"] = s.midnight
    if s.zone:
        one_zone(s)
    else:
        p["time_zone"] = "roster"
    p["columns"] = dict(zip(["agent", "name", "team"], lead))
    if len(lead) < 3:
        s.teamed = lambda a: None
    if len(lead) < 2:
        s.named = lambda a: None
    if pair:
        p["day_columns"] = ["start", "end"]
    elif not codes:
        p["cell"] = {"dash": s.opt("dash", "-").strip() or "-"}
        if not s.opt("no_activities"):
            lines = s.opt("lines")
            p["cell"] |= {"activities": "lines" if lines else "brackets", "separator": "\n" if lines else s.opt("separator", "; ").strip()}
    p["off"] = [off] if pair else [off, vacation]
    if s.opt("after"):
        p["ignore_columns"] = s.opt("after")
    if codes:
        p["shift_codes"] = s.codes
    if not s.opt("no_activities") and not pair:
        p["activities"] = activities({kind: SHORT[kind] for kind in (["lunch"] if codes else SHORT)})


# 14. One row for each agent and day, with columns for the breaks.

def daily(s):
    page = s.sheet()
    for shift in s.shifts:
        shift.activities = [a for a in shift.activities if a.kind in ("break", "lunch")]
    header = s.opt("header", ["Employee No", "Name", "Date", "Shift Start", "Shift End", "Break 1 Start", "Break 1 End", "Lunch Start", "Lunch End",
                              "Break 2 Start", "Break 2 End"])
    s.teamed = lambda a: None
    if s.opt("off_name"):
        header = header + ["Status"]
    page.head(*header)
    for agent in s.agents:
        shifts = {s.local(agent, x.start).date(): x for x in own_shifts(s, agent)}
        for day in days_of(s, agent):
            shift = shifts.get(day)
            lead = [s.agent(agent), s.named(agent), s.date(day)]
            if shift is None:
                if s.opt("off_name"):
                    page.add(*lead, *[""] * 8, s.opt("off_name"))
                continue
            slots = {"break1": None, "lunch": None, "break2": None}
            for a in shift.activities:
                early = a.start < shift.start + dt.timedelta(hours=4)
                slots["lunch" if a.kind == "lunch" else "break1" if early else "break2"] = a
            cells = [s.time(s.local(agent, shift.start), day), s.time(s.local(agent, shift.end), day)]
            for a in slots.values():
                cells += [s.time(s.local(agent, a.start), day), s.time(s.local(agent, a.end), day)] if a else ["", ""]
            page.add(*lead, *cells, *(["Working"] if s.opt("off_name") else []))
    p = s.base_profile("days", agent_key=s.key)
    s.dates()
    if "time_format" not in p:
        p["time_format"] = s.time_format
    if s.zone:
        one_zone(s)
    else:
        p["time_zone"] = "roster"
    p["columns"] = {"agent": header[0], "name": header[1], "date": header[2], "shift_start": header[3], "shift_end": header[4]}
    if s.opt("off_name"):
        p["columns"]["activity"] = "Status"
        p["off"], p["work"] = [s.opt("off_name")], ["Working"]
    p["breaks"] = {name: {"start": header[i], "end": header[i + 1], "activity": kind, "mandatory": KINDS[kind][0], "paid": KINDS[kind][1]}
                   for name, i, kind in (("first break", 5, "break"), ("lunch", 7, "lunch"), ("second break", 9, "break"))}


# 15. Infor: one row for each shift, the breaks in one cell.

INFOR = {"break": "BRK", "lunch": "LUN", "training": "TRN", "meeting": "MTG", "coaching": "COA"}


def infor(s):
    page = s.sheet()
    header = ["Emp_Name", "Emp_Full_Name", "Team", "Sch_Date", "Sch_Start", "Sch_End", "Sch_Break_String"]
    page.head(*header)
    for agent in s.agents:
        for shift in own_shifts(s, agent):
            parts = []
            for a in shift.activities:
                fields = [s.stamp(s.local(agent, a.start)), s.stamp(s.local(agent, a.end)), INFOR[a.kind], "REG" if KINDS[a.kind][1] else "UNPAID"]
                if s.opt("durations"):
                    fields.append(str(int((a.end - a.start).total_seconds() / 60)))
                parts.append(",".join(fields))
            page.add(s.agent(agent), s.named(agent), agent.team, s.date(s.local(agent, shift.start)), s.stamp(s.local(agent, shift.start)),
                     s.stamp(s.local(agent, shift.end)), "~".join(parts))
    p = s.base_profile("days", agent_key=s.key)
    s.dates()
    if s.zone:
        one_zone(s)
    else:
        p["time_zone"] = "roster"
    p["columns"] = {"agent": "Emp_Name", "name": "Emp_Full_Name", "team": "Team", "shift_start": "Sch_Start", "shift_end": "Sch_End"}
    p["list"] = {"column": "Sch_Break_String", "items": "~", "parts": ",",
                 "fields": ["start", "end", "activity", "-"] + (["duration"] if s.opt("durations") else [])}
    if s.opt("durations"):
        p["duration"] = "minutes"
    p["activities"] = activities(INFOR)


# 16. A calendar.

def calendar(s):
    mode = s.opt("mode")
    s.teamed = lambda a: a.team
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Shiftkeeper//Sample schedules//EN"]
    if mode == "weekly":
        weekly(s)
    number = 0

    def event(agent, kind, start, end, rule=None):
        nonlocal number
        number += 1
        lines.extend(["BEGIN:VEVENT", f"UID:{s.name}-{number}", "DTSTAMP:20261001T000000Z",
                      f'ATTENDEE;CN="{s.named(agent)}":urn:agent:{s.agent(agent)}', f"CATEGORIES:{kind.upper()}"])
        if kind == "shift":
            lines.append(f"X-TEAM:{agent.team}")
        elif KINDS[kind][0]:
            lines.append("X-MANDATORY:TRUE")
        if mode == "utc":
            lines.extend([f"DTSTART:{start:%Y%m%dT%H%M%SZ}", f"DTEND:{end:%Y%m%dT%H%M%SZ}"])
        elif mode == "duration":
            minutes = int((end - start).total_seconds() / 60)
            lines.extend([f"DTSTART;TZID={agent.zone}:{localtime(start, agent.zone):%Y%m%dT%H%M%S}", f"DURATION:PT{minutes}M"])
        else:
            lines.extend([f"DTSTART;TZID={agent.zone}:{localtime(start, agent.zone):%Y%m%dT%H%M%S}",
                          f"DTEND;TZID={agent.zone}:{localtime(end, agent.zone):%Y%m%dT%H%M%S}"])
        lines.extend(rule or [])
        lines.append("END:VEVENT")

    for agent in s.agents:
        shifts = own_shifts(s, agent)
        if mode == "weekly":
            rule = [f"RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;COUNT={s.count}", f"EXDATE;TZID={agent.zone}:"]
            first = shifts[0]
            for kind, start, end in [("shift", first.start, first.end)] + [(a.kind, a.start, a.end) for a in first.activities]:
                begin = localtime(start, agent.zone)
                event(agent, kind, start, end, [rule[0], rule[1] + f"{dt.datetime.combine(s.left_out, begin.time()):%Y%m%dT%H%M%S}"])
        else:
            for shift in shifts:
                event(agent, "shift", shift.start, shift.end)
                for a in shift.activities:
                    event(agent, a.kind, a.start, a.end)
    if mode == "utc":
        s.zone, s.agent_zone = None, lambda a: s.agents[0].zone
    lines.append("END:VCALENDAR")
    if s.opt("fold"):
        lines = [line if len(line) <= 40 else line[:40] + "\n " + line[40:] for line in lines]
    s.text = "\n".join(lines) + "\n"
    s.profile = {"layout": "calendar", "agent_key": s.key}
    if mode == "utc":
        s.profile["agent_zone"] = s.agents[0].zone


def weekly(s):
    """Every weekday the same shift, one day left out."""
    s.count, s.left_out = s.days // 7 * 5, s.first + dt.timedelta(days=2)
    s.shifts = []
    for number, agent in enumerate(s.agents):
        for day in days_of(s, agent):
            if day.weekday() > 4 or day == s.left_out:
                continue
            begin = dt.datetime.combine(day, dt.time(8 + number))
            at = lambda minutes: truth.instant(begin + dt.timedelta(minutes=minutes), agent.zone)
            s.shifts.append(truth.Shift(agent, at(0), at(480), [truth.Activity("break", at(120), at(135)), truth.Activity("lunch", at(240), at(270))]))


def offset(self, agent, moment):
    """What follows a time that states its own zone: Z, or an offset."""
    style = self.opt("offset")
    if style == "Z":
        return "Z"
    if style != "offset":
        return ""
    minutes = int(moment.astimezone(truth.ZoneInfo(agent.zone)).utcoffset().total_seconds() // 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


Sample.offset = offset
