//! The headings and names that WFM suites and spreadsheets use, in several languages. `docs/schedule-formats.md` says
//! where they come from.

use crate::domain::schedules::schedule::Activity;

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Role {
    Agent,
    Name,
    FirstName,
    LastName,
    Team,
    TimeZone,
    Date,
    Shift,
    Activity,
    Start,
    End,
    Duration,
    Mandatory,
    ShiftStart,
    ShiftEnd,
}

/// The headings of each role, normalized, the most telling first.
const HEADINGS: [(Role, &[&str]); 15] = [
    (
        Role::Agent,
        &[
            "agentid",
            "employeeid",
            "empid",
            "employeeno",
            "employeenumber",
            "employmentnumber",
            "personnelnumber",
            "staffid",
            "personalnummer",
            "mitarbeiterid",
            "mitarbeiternummer",
            "agentenid",
            "anställningsnummer",
            "matricule",
            "personeelsnummer",
            "númerodeempleado",
            "username",
            "userid",
            "user",
            "benutzername",
            "agentemail",
            "email",
            "emailaddress",
            "logonid",
            "loginid",
            "login",
            "tvid",
            "ssn",
            "empname",
        ],
    ),
    (
        Role::Name,
        &[
            "name",
            "agentname",
            "employeename",
            "empfullname",
            "fullname",
            "empname",
            "employee",
            "agent",
            "mitarbeiter",
            "namn",
            "nom",
            "nombre",
            "naam",
        ],
    ),
    (Role::FirstName, &["firstname", "vorname", "förnamn", "givenname", "prénom", "voornaam"]),
    (Role::LastName, &["lastname", "nachname", "efternamn", "surname", "familyname", "achternaam"]),
    (
        Role::Team,
        &[
            "team",
            "teamname",
            "staffgroup",
            "organization",
            "organisation",
            "group",
            "gruppe",
            "grupp",
            "managementunit",
            "verwaltungseinheit",
            "abteilung",
            "department",
            "équipe",
            "equipo",
        ],
    ),
    (
        Role::TimeZone,
        &["timezone", "localtimezone", "tz", "zone", "zeitzone", "tidszon", "fuseauhoraire", "zonahoraria", "tijdzone"],
    ),
    (Role::Date, &["date", "excdate", "datum", "shiftdate", "workdate", "scheddate", "schdate", "day", "tag", "fecha"]),
    (Role::Shift, &["shiftid", "shift", "schicht", "schichtid", "dienst", "turno"]),
    (
        Role::Activity,
        &[
            "activity",
            "activitycode",
            "activityname",
            "eventtype",
            "segcode",
            "exccode",
            "aktivität",
            "tätigkeit",
            "aktivitet",
            "activité",
            "actividad",
            "activiteit",
            "event",
            "what",
        ],
    ),
    (
        Role::Start,
        &[
            "start",
            "starttime",
            "startdate",
            "activitystart",
            "activitystartdateandtime",
            "begin",
            "beginn",
            "from",
            "von",
            "début",
            "inicio",
        ],
    ),
    (
        Role::End,
        &[
            "end",
            "endtime",
            "enddate",
            "stoptime",
            "activityend",
            "activityenddateandtime",
            "stop",
            "ende",
            "slut",
            "to",
            "bis",
            "fin",
            "einde",
        ],
    ),
    (Role::Duration, &["length", "duration", "dauer", "minutes", "längd", "durée", "duración", "duur"]),
    (Role::Mandatory, &["mandatory", "fixed", "pflicht", "obligatory", "obligatorisk"]),
    (
        Role::ShiftStart,
        &[
            "shiftstart",
            "shiftstarttime",
            "shiftstartdateandtime",
            "schstart",
            "dienstbeginn",
            "schichtbeginn",
            "arbetspasstart",
        ],
    ),
    (
        Role::ShiftEnd,
        &["shiftend", "shiftendtime", "shiftenddateandtime", "schend", "dienstende", "schichtende", "arbetspasslut"],
    ),
];

/// The words at the end of the headings of a break's start and end.
const SPAN_WORDS: [(&str, &str); 6] =
    [("start", "end"), ("von", "bis"), ("from", "to"), ("beginn", "ende"), ("begin", "end"), ("start", "slut")];

/// What a name of an activity is known to mean.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// The rows are shifts.
    Shift,
    Work,
    Off,
    Activity(Activity),
}

const SHIFTS: [&str; 5] = ["shift", "schicht", "dienst", "arbetspass", "turno"];

const WORK: [&str; 14] = [
    "work",
    "working",
    "phone",
    "telefon",
    "telefonie",
    "open",
    "onqueue",
    "onqueuework",
    "phoneinbound",
    "phoneoutbound",
    "inbound",
    "arbeit",
    "arbete",
    "calls",
];

const OFF: [&str; 17] = [
    "off",
    "dayoff",
    "noshift",
    "restday",
    "vacation",
    "vac",
    "holiday",
    "timeoff",
    "frei",
    "urlaub",
    "krank",
    "sick",
    "ledig",
    "semester",
    "libre",
    "vacances",
    "notpublished",
];

const BREAKS: [&str; 9] = ["break", "brk", "pause", "rast", "paus", "pauze", "descanso", "shortbreak", "kaffeepause"];

const LUNCHES: [&str; 9] =
    ["lunch", "lun", "meal", "mealbreak", "lunchbreak", "mittag", "mittagspause", "almuerzo", "déjeuner"];

const TRAININGS: [&str; 6] = ["training", "trn", "schulung", "utbildning", "formation", "formación"];

const MEETINGS: [&str; 9] =
    ["meeting", "mtg", "teammeeting", "möte", "besprechung", "teambesprechung", "teamsitzung", "réunion", "reunión"];

const COACHINGS: [&str; 4] = ["coaching", "coa", "coachning", "oneonone"];

/// What single letters and short marks often mean, which nothing proves.
const LIKELY: [(&str, &str); 6] =
    [("b", "break"), ("l", "lunch"), ("t", "training"), ("m", "meeting"), ("c", "coaching"), ("11", "coaching")];

/// The activity of coaching, which the plan knows by its name only.
const COACHING: &str = "coaching";

/// Returns a text in lower case with nothing but letters and digits.
pub(super) fn normalize(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Returns the roles that a heading can have, each with its rank: 0 is the most telling heading.
pub(super) fn roles(heading: &str) -> impl Iterator<Item = (Role, usize)> {
    let heading = normalize(heading);
    HEADINGS
        .iter()
        .filter_map(move |(role, words)| words.iter().position(|word| *word == heading).map(|rank| (*role, rank)))
}

/// Returns what a name is known to mean.
pub(super) fn known(name: &str) -> Option<Known> {
    let name = normalize(name);
    let is_in = |words: &[&str]| words.contains(&name.as_str());
    if is_in(&SHIFTS) {
        return Some(Known::Shift);
    }
    if is_in(&WORK) {
        return Some(Known::Work);
    }
    if is_in(&OFF) {
        return Some(Known::Off);
    }
    activity(&name).map(Known::Activity)
}

fn activity(normalized: &str) -> Option<Activity> {
    let lists: [(&[&str], &str); 5] = [
        (&BREAKS, "break"),
        (&LUNCHES, "lunch"),
        (&TRAININGS, "training"),
        (&MEETINGS, "meeting"),
        (&COACHINGS, COACHING),
    ];
    let found = lists.iter().find(|(words, _)| words.contains(&normalized));
    found.map(|(_, name)| Activity::from_name(name))
}

/// Returns what a short name often means.
pub(super) fn likely(name: &str) -> Option<Activity> {
    let name = normalize(name);
    LIKELY.iter().find(|(word, _)| *word == name).map(|(_, name)| Activity::from_name(name))
}

/// Returns what is before the word for start or end in a heading, and whether it is the start, such as `lunch` and true
/// for `Lunch Start`.
pub(super) fn span_heading(heading: &str) -> Option<(String, bool)> {
    let heading = normalize(heading);
    SPAN_WORDS.iter().find_map(|(start, end)| {
        let stem = |word: &str| heading.strip_suffix(word).filter(|stem| !stem.is_empty()).map(str::to_owned);
        stem(start).map(|stem| (stem, true)).or_else(|| stem(end).map(|stem| (stem, false)))
    })
}

/// Returns what the columns of a break mean, from the part of their heading before the word for start or end.
pub(super) fn break_activity(stem: &str) -> Option<Activity> {
    activity(stem.trim_end_matches(|c: char| c.is_ascii_digit()))
}

/// Whether a heading is the word for a start and another that for an end.
pub(super) fn is_pair(start: &str, end: &str) -> bool {
    let (start, end) = (normalize(start), normalize(end));
    SPAN_WORDS.iter().any(|(one, other)| start == *one && end == *other)
}
