"""The plans that the sample files are written from: who works when, before any file format is involved.

Everything here is in instants. A plan begins as local times in each agent's own zone; a local time that a clock change
repeats means its first occurrence, and one that it skips does not occur.
"""
import random
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

UTC = timezone.utc

# Whether an activity is mandatory and paid. Work is what a shift holds besides activities.
KINDS = {
    "break": (False, True),
    "lunch": (True, False),
    "training": (False, True),
    "meeting": (False, True),
    "coaching": (False, True),
}


@dataclass(frozen=True)
class Agent:
    id: str
    user_name: str
    uuid: str
    employee_no: str
    login: str
    first: str
    last: str
    team: str
    zone: str

    @property
    def name(self):
        return f"{self.first} {self.last}"


@dataclass
class Activity:
    kind: str
    start: datetime
    end: datetime


@dataclass
class Shift:
    agent: Agent
    start: datetime
    end: datetime
    activities: list = field(default_factory=list)

    def times(self):
        yield from (self.start, self.end)
        for activity in self.activities:
            yield from (activity.start, activity.end)

    def cover(self):
        """The shift without gaps: its activities, and work between them."""
        at = self.start
        for activity in self.activities:
            if at < activity.start:
                yield Activity("work", at, activity.start)
            yield activity
            at = activity.end
        if at < self.end:
            yield Activity("work", at, self.end)


PEOPLE = {
    "Europe/Berlin": "Jörg Müller, Anna Schröder, Zoë Groß, Mehmet Yıldız, Lena Weiß, Ole Jürgens",
    "America/New_York": "Pia Reyes, Conor O'Brien, Dana Brooks, Luis Núñez, Ada Abara",
    "Europe/London": "Sami Khan, Siân Hughes, Ravi Shah, Nia Evans, Owen Clark",
    "Asia/Kolkata": "Priya Nair, Arjun Rao, Meera Iyer, Kabir Das, Anaya Pillai",
    "Asia/Manila": "Jun Santos, Bea Dizon, Carlo Reyes, Luz Ramos, Paolo Cruz",
    "Australia/Sydney": "Kofi Grant, Mia Nguyen, Ruby Wilson, Jack O'Neill, Ines Costa",
    "America/Phoenix": "Nour Haddad, Eli Begay",
}


def roster():
    """Everybody whom any sample names. Mehmet's ı is in no Western code page, so files in Windows-1252 leave him out."""
    people, number = [], 0
    for zone, names in PEOPLE.items():
        for name in names.split(", "):
            number += 1
            first, last = name.split(" ", 1)
            plain = "".join(c for c in f"{first}.{last}".lower() if c.isascii() and (c.isalpha() or c == "."))
            people.append(Agent(
                id=f"u_{1000 + number}",
                user_name=f"{plain}@example.com",
                uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{plain}.example.com")),
                employee_no=f"{(number * 7919) % 90000 + 417:06d}",
                login=str(20100 + number * 3),
                first=first, last=last,
                team=f"Team {'ABCDE'[number % 5]}",
                zone=zone,
            ))
    return people


def instant(local, zone):
    """The instant of a local time, the first one if there are two; None if the clock skips it."""
    aware = local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
    return aware if localtime(aware, zone) == local else None


def localtime(moment, zone):
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def says(moment, zone):
    """Whether the local time of this instant, written without an offset, means this instant."""
    return instant(localtime(moment, zone), zone) == moment


# Start of the shift in minutes after midnight; all of them last 8 h 30 min. The third and the sixth pass midnight,
# the fourth has its lunch across midnight, and the fifth ends at midnight exactly.
STARTS = [8 * 60, 9 * 60 + 30, 22 * 60, 19 * 60 + 45, 15 * 60 + 30, 23 * 60 + 10]


def plan(agents, first, days, seed, starts=STARTS):
    """Shifts of some agents: two days off in a week, breaks, a lunch, now and then training, a meeting or coaching."""
    rng = random.Random(seed)
    shifts = []
    for number, agent in enumerate(agents):
        off = set(rng.sample(range(7), 2))
        for day in range(days):
            on = first + timedelta(days=day)
            if on.weekday() in off:
                continue
            shift = shift_on(agent, on, starts[number % len(starts)], rng)
            if shift:
                shifts.append(shift)
    return shifts


def shift_on(agent, on, start, rng):
    begin = datetime(on.year, on.month, on.day) + timedelta(minutes=start)
    at = lambda minutes: instant(begin + timedelta(minutes=minutes), agent.zone)
    if at(0) is None or at(510) is None:
        return None
    wanted = [("break", 120 + rng.choice([0, 5, 15]), 15), ("lunch", 240, 30), ("break", 375 + rng.choice([0, 15]), 15)]
    more = rng.random()
    if more < 0.15:
        wanted.insert(0, ("meeting", 0, 15))
    elif more < 0.3:
        wanted.insert(2, ("training", 300, 60))
    elif more < 0.4:
        wanted.append(("coaching", 480, 30))
    activities = [Activity(kind, at(minutes), at(minutes + length)) for kind, minutes, length in wanted]
    return Shift(agent, at(0), at(510), [a for a in activities if a.start and a.end])


def expected(agents, shifts, name=lambda a: a.name, team=lambda a: a.team, zone=lambda a: a.zone):
    """The plan as NAME.expected.json states it."""
    stamp = lambda moment: moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    people = []
    for agent in sorted(agents, key=lambda a: a.id):
        own = sorted((s for s in shifts if s.agent.id == agent.id), key=lambda s: s.start)
        people.append({
            "id": agent.id, "name": name(agent), "team": team(agent), "zone": zone(agent),
            "shifts": [{
                "start": stamp(s.start), "end": stamp(s.end),
                "activities": [
                    {"activity": a.kind, "start": stamp(a.start), "end": stamp(a.end), "mandatory": KINDS[a.kind][0]}
                    for a in sorted(s.activities, key=lambda a: a.start)
                ],
            } for s in own],
        })
    return {"agents": people}
