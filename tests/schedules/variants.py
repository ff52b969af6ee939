"""Every good sample: its name, its shape, who is in it, when, and how it is written."""
import shapes
import truth
from sample import Sample
from shapes import AUTUMN, GERMAN, SOUTH, SPRING, US_AUTUMN, US_SPRING, WINTER

PEOPLE = truth.roster()
BERLIN, NEW_YORK, LONDON, KOLKATA, MANILA, SYDNEY, PHOENIX = (
    [a for a in PEOPLE if a.zone == zone] for zone in truth.PEOPLE)
WESTERN = [a for a in BERLIN if a.first != "Mehmet"]  # those whom Windows-1252 can write
ATLANTIC = BERLIN[:3] + NEW_YORK[:3]
FIVE_ZONES = [BERLIN[0], NEW_YORK[1], LONDON[1], MANILA[0], PHOENIX[1]]
IMPORT = {"date_format": "MM/DD/YYYY", "time_format": "HH:mm:ss", "key": "user_name"}  # as the help page has it

OWN_GERMAN = ["Mitarbeiter-ID", "Name", "Team", "Zeitzone", "Tätigkeit", "Beginn", "Ende", "Pflicht"]
DAILY_GERMAN = ["Personalnummer", "Name", "Datum", "Dienstbeginn", "Dienstende", "Pause 1 von", "Pause 1 bis", "Mittag von", "Mittag bis",
                "Pause 2 von", "Pause 2 bis"]
CALABRIO_SWEDISH = ["Anställningsnummer", "Förnamn", "Efternamn", "Affärsenhet", "Plats", "Grupp", "Datum", "Aktivitet", "Start", "Slut",
                    "Betald tid"]
SWEDISH = {"work": "Telefon", "break": "Rast", "lunch": "Lunch", "training": "Utbildning", "meeting": "Möte", "coaching": "Coachning"}
GENESYS_GERMAN = ["Agenten-ID", "Name", "Verwaltungseinheit", "Schicht", "Aktivität", "Beginn", "Dauer", "Bezahlt"]
TEMPLATE = [["Instructions: do not use commas. Usernames are in lower case."], ["Required: the first five columns. Remove these lines"]]

# name, extension, shape, agents, first day, days, look
VARIANTS = [
    # The table of docs/schedules.md.
    ("own-plain", "csv", shapes.own, ATLANTIC, AUTUMN, 14, {"between": "T"}),
    ("own-semicolon-bom", "csv", shapes.own, NEW_YORK, US_AUTUMN, 14,
     {"delimiter": ";", "encoding": "utf-8-bom", "newline": "\r\n", "time_format": "HH:mm:ss", "yes_no": ("yes", "no"), "last_first": ";"}),
    ("own-utf16-tab", "txt", shapes.own, SYDNEY[:3] + [LONDON[1], KOLKATA[0]], SOUTH, 14,
     {"delimiter": "\t", "encoding": "utf-16le", "newline": "\r\n", "key": "login",
      "header": ["Login", "Agent", "Group", "Zone", "What", "From", "To", "Fixed"], "yes_no": ("1", "0")}),
    ("own-german", "csv", shapes.own, WESTERN, AUTUMN, 14,
     {"delimiter": ";", "encoding": "windows-1252", "newline": "\r\n", "date_format": "DD.MM.YYYY", "header": OWN_GERMAN, "yes_no": ("ja", "nein"),
      "words": {"shift": "Schicht", **GERMAN}, "key": "employee_no"}),
    ("own-spring", "csv", shapes.own, [BERLIN[2], BERLIN[5], NEW_YORK[2], NEW_YORK[0], LONDON[2]], SPRING, 14, {"between": "T", "key": "uuid"}),

    # IEX, agent per line.
    ("iex-line-plain", "txt", shapes.iex_line, FIVE_ZONES, WINTER, 14,
     {"delimiter": "|", "date_format": "MMDDYYYY", "time_format": "HHmm", "midnight": "next_day", "key": "employee_no"}),
    ("iex-line-12h", "txt", shapes.iex_line, NEW_YORK + PHOENIX, US_AUTUMN, 14,
     {"delimiter": "|", "date_format": "MMDDYY", "time_format": "hh:mm AM", "midnight": "next_day", "key": "login"}),
    ("iex-line-over24", "txt", shapes.iex_line, BERLIN, AUTUMN, 14,
     {"delimiter": "|", "date_format": "YYYYMMDD", "midnight": "over_24", "newline": "\r\n", "key": "employee_no", "off_lines": True}),
    ("iex-line-titled", "txt", shapes.iex_line, WESTERN, WINTER, 14,
     {"delimiter": "|", "date_format": "DDMMYYYY", "encoding": "windows-1252", "midnight": "next_day", "midnight_is_24": True,
      "key": "employee_no", "title": "Agent schedules", "total": True}),

    # IEX agentScheduleDetail.
    ("iex-detail-cut", "txt", shapes.iex_activity, ATLANTIC, AUTUMN, 14,
     {"delimiter": "|", "date_format": "MMDDYYYY", "midnight": "next_day", "midnight_is_24": True, "cut": True, "key": "employee_no"}),
    ("iex-detail-whole", "txt", shapes.iex_activity, BERLIN[1:], WINTER, 14,
     {"delimiter": "|", "date_format": "DDMMYYYY", "time_format": "HHmm", "midnight": "next_day", "prefix": "#fields ", "key": "employee_no",
      "vacation": True}),
    ("iex-detail-12h", "txt", shapes.iex_activity, NEW_YORK, US_SPRING, 14,
     {"delimiter": "|", "date_format": "MMDDYY", "time_format": "h:mm AM", "midnight": "next_day", "key": "login", "overlay": "SKILL-ALT"}),
    ("iex-detail-bare", "txt", shapes.iex_activity, LONDON[:2] + [BERLIN[3], MANILA[2], PHOENIX[0]], WINTER, 14,
     {"delimiter": "|", "date_format": "YYMMDD", "midnight": "next_day", "prefix": "", "key": "login", "by_date": True, "newline": "\r\n",
      "fields": "schedDate TZ muID tvID logonID agentName excCode startTime stopTime".split()}),

    # CXone, Import Schedule.
    ("cxone-kolkata", "csv", shapes.cxone, KOLKATA, AUTUMN, 14, {**IMPORT, "zone": "Asia/Kolkata", "note": "plan A"}),
    ("cxone-berlin", "csv", shapes.cxone, BERLIN, AUTUMN, 14, {**IMPORT, "zone": "Europe/Berlin", "shift_lines": True}),
    ("cxone-new-york-bom", "csv", shapes.cxone, NEW_YORK, WINTER, 14,
     {**IMPORT, "zone": "America/New_York", "encoding": "utf-8-bom", "newline": "\r\n", "repeat_header": True, "shift_lines": True}),
    ("cxone-template", "csv", shapes.cxone, MANILA, WINTER, 14, {**IMPORT, "zone": "Asia/Manila", "instructions": TEMPLATE}),

    # Genesys Cloud.
    ("genesys-utc", "csv", shapes.genesys, FIVE_ZONES, AUTUMN, 14,
     {"zone": "UTC", "agent_zone": "roster", "key": "uuid", "between": "T", "time_format": "HH:mm:ss", "offset": "Z"}),
    ("genesys-local-12h", "csv", shapes.genesys, NEW_YORK, US_AUTUMN, 14,
     {"zone": "America/New_York", "key": "uuid", "date_format": "MM/DD/YYYY", "time_format": "h:mm AM", "length": "end",
      "header": ["Agent ID", "Agent Name", "Management Unit", "Shift ID", "Activity Code", "Start Date", "End Date", "Paid"]}),
    ("genesys-german", "csv", shapes.genesys, BERLIN[:5], AUTUMN, 14,
     {"zone": "Europe/Berlin", "key": "uuid", "delimiter": ";", "encoding": "utf-8-bom", "newline": "\r\n", "date_format": "DD.MM.YYYY",
      "decimal": ",", "length": "hours", "language": "de", "header": GENESYS_GERMAN}),
    ("genesys-offset", "csv", shapes.genesys, ATLANTIC, SPRING, 14,
     {"key": "uuid", "between": "T", "time_format": "HH:mm:ss", "offset": "offset"}),

    # Verint.
    ("verint-report", "csv", shapes.verint, NEW_YORK, WINTER, 14,
     {"zone": "America/New_York", "key": "employee_no", "date_format": "MM/DD/YYYY", "time_format": "hh:mm AM", "midnight": "next_day",
      "title": [["Activity detail"], ["Published schedule, 30 November to 13 December 2026"], []], "subtotals": True,
      "footer": [["Grand total", "", "", "", "", "", "", "321.5"], ["Printed 11/27/2026 04:12 PM"]]}),
    ("verint-windows-zones", "csv", shapes.verint, FIVE_ZONES + [SYDNEY[1]], SOUTH, 14,
     {"delimiter": "\t", "midnight": "next_day", "key": "employee_no", "last_first": True}),
    ("verint-uk-24", "csv", shapes.verint, LONDON, AUTUMN, 14,
     {"zone": "Europe/London", "date_format": "DD/MM/YYYY", "midnight": "next_day", "midnight_is_24": True, "key": "user_name", "quote_all": True}),
    ("verint-utf16be", "txt", shapes.verint, BERLIN[:5], WINTER, 14,
     {"zone": "Europe/Berlin", "delimiter": "\t", "encoding": "utf-16be", "newline": "\r\n", "date_format": "D.M.YYYY", "decimal": ",",
      "midnight": "next_day", "key": "employee_no", "off_lines": True}),

    # Calabrio, formerly Teleopti.
    ("calabrio-utc", "csv", shapes.calabrio, ATLANTIC[:5], AUTUMN, 14, {"zone": "UTC", "agent_zone": "roster", "key": "employee_no"}),
    ("calabrio-user-zone", "csv", shapes.calabrio, NEW_YORK[:4] + LONDON[:1], WINTER, 14,
     {"zone": "Europe/London", "agent_zone": "roster", "key": "employee_no", "delimiter": ";"}),
    ("calabrio-time-export", "csv", shapes.calabrio_days, LONDON[:3] + BERLIN[:3], AUTUMN, 21,
     {"zone": "Europe/London", "key": "employee_no", "newline": "\r\n"}),
    ("calabrio-swedish", "csv", shapes.calabrio, WESTERN, SPRING, 14,
     {"zone": "Europe/Berlin", "delimiter": ";", "encoding": "windows-1252", "decimal": ",", "key": "employee_no", "header": CALABRIO_SWEDISH,
      "words": SWEDISH}),

    # Aspect, now Alvaria.
    ("alvaria-segments", "txt", shapes.alvaria, NEW_YORK, US_AUTUMN, 14,
     {"zone": "America/New_York", "delimiter": "|", "date_format": "MM/DD/YY", "midnight": "next_day", "key": "employee_no"}),
    ("alvaria-minutes", "csv", shapes.alvaria, ATLANTIC, WINTER, 14,
     {"date_format": "YYYYMMDD", "time_format": "minutes", "midnight": "over_24", "key": "employee_no"}),
    ("alvaria-over24", "csv", shapes.alvaria, BERLIN, AUTUMN, 14,
     {"zone": "Europe/Berlin", "midnight": "over_24", "key": "login", "delimiter": ";", "newline": "\r\n"}),
    ("alvaria-quoted", "csv", shapes.alvaria, LONDON, SPRING, 21,
     {"zone": "Europe/London", "quote_all": True, "date_format": "D MMM YYYY", "midnight": "next_day", "key": "employee_no",
      "memo": 'Module "A, part 2", room 4\nbring a headset'}),

    # Assembled.
    ("assembled-iana", "csv", shapes.assembled, FIVE_ZONES, AUTUMN, 14, {"mode": "column", "key": "user_name"}),
    ("assembled-offset", "csv", shapes.assembled, ATLANTIC, US_AUTUMN, 14,
     {"mode": "value", "key": "user_name", "between": "T", "time_format": "HH:mm:ss", "offset": "offset"}),
    ("assembled-epoch", "csv", shapes.assembled, FIVE_ZONES, US_SPRING, 14, {"mode": "epoch", "key": "user_name"}),
    ("assembled-us", "csv", shapes.assembled, NEW_YORK, WINTER, 14,
     {"mode": "column", "key": "user_name", "date_format": "M/D/YYYY", "time_format": "h:mm AM", "newline": "\r\n"}),

    # A list in a workbook.
    ("excel-list-dates", "xlsx", shapes.excel_list, BERLIN, AUTUMN, 14,
     {"zone": "Europe/Berlin", "date_format": "cell", "key": "employee_no", "title": [["Schedule of October 2026"], []], "total": True}),
    ("excel-list-numbers", "xlsx", shapes.excel_list, LONDON, AUTUMN, 14, {"zone": "Europe/London", "date_format": "number", "key": "employee_no"}),
    ("excel-list-text", "xlsx", shapes.excel_list, NEW_YORK, US_AUTUMN, 14,
     {"zone": "America/New_York", "date_format": "DD/MM/YYYY", "key": "user_name"}),
    ("excel-list-1904", "xlsx", shapes.excel_list, SYDNEY, SOUTH, 14,
     {"zone": "Australia/Sydney", "date_format": "cell", "date_system": 1904, "key": "employee_no"}),
    ("excel-list-date-and-time", "xlsx", shapes.excel_list, KOLKATA, WINTER, 14,
     {"zone": "Asia/Kolkata", "date_format": "cell", "time_format": "cell", "separate_time": True, "midnight": "next_day", "key": "employee_no"}),

    # Several sheets.
    ("excel-teams", "xlsx", shapes.excel_sheets, BERLIN + LONDON, WINTER, 14,
     {"zone": "Europe/Berlin", "date_format": "cell", "team_sheets": True, "key": "employee_no"}),
    ("excel-weeks", "xlsx", shapes.excel_sheets, BERLIN, AUTUMN, 21, {"zone": "Europe/Berlin", "date_format": "cell", "key": "employee_no"}),
    ("excel-weeks-pattern", "xlsx", shapes.excel_sheets, BERLIN[:5], SPRING, 14,
     {"zone": "Europe/Berlin", "date_format": "DD.MM.YYYY", "week": "KW", "pattern": ["KW*"], "hidden_legend": True, "key": "employee_no"}),
    ("excel-teams-numbers", "xlsx", shapes.excel_sheets, NEW_YORK, US_SPRING, 14,
     {"zone": "America/New_York", "date_format": "number", "team_sheets": True, "hidden_legend": True, "key": "login"}),

    # Wide tables as CSV.
    ("wide-iso", "csv", shapes.wide, ATLANTIC, AUTUMN, 14, {"midnight": "next_day"}),
    ("wide-us-12h", "csv", shapes.wide, NEW_YORK, US_AUTUMN, 14,
     {"zone": "America/New_York", "heading": "M/D/YYYY", "time_format": "h:mm AM", "dash": " - ", "midnight": "next_day", "key": "login",
      "lead": ["Login", "Agent", "Team"], "encoding": "utf-8-bom", "newline": "\r\n"}),
    ("wide-german", "csv", shapes.wide, WESTERN, AUTUMN, 14,
     {"zone": "Europe/Berlin", "delimiter": ";", "encoding": "windows-1252", "newline": "\r\n", "heading": "ddd DD.MM.", "language": "de",
      "dash": "–", "midnight": "next_day", "off": ("frei", "U"), "key": "employee_no", "lead": ["Personalnummer", "Name"], "after": ["Stunden"],
      "decimal": ",", "absent": True, "separator": ", "}),
    ("wide-codes", "csv", shapes.wide, LONDON, WINTER, 21, {"zone": "Europe/London", "codes": True, "heading": "DD/MM/YYYY", "midnight": "next_day",
                                                            "off": ("", "VAC"), "footer": [["Status: published"]]}),
    ("wide-subtotals", "csv", shapes.wide, BERLIN, WINTER, 14,
     {"zone": "Europe/Berlin", "heading": "D MMM YYYY", "midnight": "over_24", "title": [["Roster", "weeks 49 and 50"], []], "repeat_header": True,
      "footer": [[], ["Total agents", "6"]], "no_activities": True}),

    # Wide tables as workbooks.
    ("excel-wide-merged", "xlsx", shapes.wide, BERLIN, AUTUMN, 14,
     {"zone": "Europe/Berlin", "heading": "cell", "midnight": "next_day", "title": [["Roster of the support centre"], []], "weeks": True,
      "key": "employee_no", "lead": ["Employee No", "Name", "Team"]}),
    ("excel-wide-pairs", "xlsx", shapes.wide, NEW_YORK, US_AUTUMN, 14,
     {"zone": "America/New_York", "heading": "cell", "pair": True, "time_format": "cell", "midnight": "next_day", "no_activities": True,
      "key": "login", "lead": ["Login", "Name", "Team"]}),
    ("excel-wide-lines", "xlsx", shapes.wide, LONDON, SPRING, 14,
     {"zone": "Europe/London", "heading": "DD/MM/YYYY", "lines": True, "midnight": "over_24", "key": "user_name", "lead": ["User"], "absent": True}),
    ("excel-wide-codes", "xlsx", shapes.wide, SYDNEY + LONDON, SOUTH, 21,
     {"codes": True, "heading": "cell", "midnight": "next_day", "legend": True}),

    # One row for each agent and day.
    ("daily-uk", "csv", shapes.daily, LONDON, AUTUMN, 21,
     {"zone": "Europe/London", "date_format": "DD/MM/YYYY", "midnight": "next_day", "key": "employee_no", "off_name": "Rest day"}),
    ("daily-us-12h", "csv", shapes.daily, NEW_YORK, US_SPRING, 14,
     {"zone": "America/New_York", "date_format": "MM/DD/YYYY", "time_format": "h:mma", "midnight": "next_day", "key": "employee_no"}),
    ("daily-decimal-hours", "csv", shapes.daily, WESTERN, AUTUMN, 14,
     {"zone": "Europe/Berlin", "date_format": "DD.MM.YY", "time_format": "hours", "decimal": ",", "delimiter": ";", "midnight": "over_24",
      "encoding": "windows-1252", "newline": "\r\n", "key": "employee_no", "header": DAILY_GERMAN}),
    ("daily-roster-zones", "csv", shapes.daily, FIVE_ZONES, AUTUMN, 14, {"midnight": "over_24"}),
    ("daily-day-numbers", "csv", shapes.daily, KOLKATA, WINTER, 21,
     {"zone": "Asia/Kolkata", "date_format": "number", "midnight": "next_day", "delimiter": ";", "key": "login"}),

    # Infor.
    ("infor-breaks", "csv", shapes.infor, NEW_YORK, WINTER, 14,
     {"zone": "America/New_York", "date_format": "YYYYMMDD", "time_format": "HHmm", "key": "employee_no"}),
    ("infor-durations", "csv", shapes.infor, ATLANTIC, AUTUMN, 14, {"date_format": "YYYYMMDD", "time_format": "HHmm", "key": "employee_no",
                                                                     "durations": True}),
    ("infor-semicolon", "csv", shapes.infor, WESTERN, SPRING, 14,
     {"zone": "Europe/Berlin", "date_format": "YYYYMMDD", "time_format": "HHmm", "delimiter": ";", "encoding": "windows-1252", "newline": "\r\n",
      "key": "employee_no"}),
    ("infor-utf16", "csv", shapes.infor, KOLKATA + MANILA, WINTER, 14,
     {"date_format": "YYYYMMDD", "time_format": "HHmm", "delimiter": "\t", "encoding": "utf-16le", "newline": "\r\n", "key": "employee_no"}),

    # Calendars.
    ("calendar-zones", "ics", shapes.calendar, ATLANTIC[:5], AUTUMN, 14, {"mode": "tzid"}),
    ("calendar-utc", "ics", shapes.calendar, BERLIN[1:], AUTUMN, 14, {"mode": "utc"}),
    ("calendar-durations", "ics", shapes.calendar, NEW_YORK, US_AUTUMN, 14, {"mode": "duration", "newline": "\r\n", "fold": True}),
    ("calendar-weekly", "ics", shapes.calendar, BERLIN[:3] + LONDON[:2], AUTUMN, 21, {"mode": "weekly"}),
]
SHAPES = {}
for _name, _ext, _shape, *_ in VARIANTS:
    SHAPES.setdefault(_name.split("-")[0], []).append(_name)


def build(name, agents=None, days=None, first=None):
    """A sample by its name; with fewer agents and days for the broken files, or more for the large ones."""
    number, (_, ext, shape, who, begin, length, look) = next((i, v) for i, v in enumerate(VARIANTS) if v[0] == name)
    sample = Sample(name, ext, shape, agents or who, first or begin, days or length, 1000 + number, **look)
    shape(sample)
    return sample
