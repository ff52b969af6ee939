//! The forms of dates and times: patterns such as `DD.MM.YYYY`, and what needs no pattern.

/// The form of dates.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum DateFormat {
    /// The profile does not say it, so that no date can be read.
    #[default]
    Unstated,
    /// Text of this form.
    Pattern(Pattern),
    /// Real dates of a workbook.
    Cell,
    /// Day numbers of a spreadsheet.
    DayNumber,
    /// Seconds since 1970, which are dates and times at once.
    UnixSeconds,
}

/// The form of times of day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TimeFormat {
    /// Text of this form.
    Pattern(Pattern),
    /// Real times of a workbook.
    Cell,
    /// Hours, with decimals.
    Hours,
    /// Minutes after midnight.
    Minutes,
}

/// A part of a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    /// A number, with its least and largest count of digits.
    Number(Unit, usize, usize),
    /// The first three letters of an English month.
    MonthName,
    /// A weekday of two or three letters, which is not read.
    Weekday,
    /// `AM` or `PM`; with one letter, `a` or `p`.
    HalfOfDay(usize),
    /// This text.
    Text(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    Year,
    YearOfCentury,
    Month,
    Day,
    Hour,
    HourOfHalf,
    Minute,
    Second,
}

/// The words of patterns, the longer before the shorter.
const WORDS: [(&str, Part); 16] = [
    ("YYYY", Part::Number(Unit::Year, 4, 4)),
    ("YY", Part::Number(Unit::YearOfCentury, 2, 2)),
    ("MMM", Part::MonthName),
    ("MM", Part::Number(Unit::Month, 2, 2)),
    ("M", Part::Number(Unit::Month, 1, 2)),
    ("DD", Part::Number(Unit::Day, 2, 2)),
    ("D", Part::Number(Unit::Day, 1, 2)),
    ("ddd", Part::Weekday),
    ("HH", Part::Number(Unit::Hour, 2, 2)),
    ("H", Part::Number(Unit::Hour, 1, 2)),
    ("hh", Part::Number(Unit::HourOfHalf, 2, 2)),
    ("h", Part::Number(Unit::HourOfHalf, 1, 2)),
    ("mm", Part::Number(Unit::Minute, 2, 2)),
    ("ss", Part::Number(Unit::Second, 2, 2)),
    ("AM", Part::HalfOfDay(2)),
    ("a", Part::HalfOfDay(1)),
];

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// The form of a date or a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

/// The numbers that a text of a pattern gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Numbers {
    pub(super) year: Option<i16>,
    pub(super) month: i8,
    pub(super) day: i8,
    hour: i32,
    hour_of_half: Option<i32>,
    is_afternoon: bool,
    minute: i32,
    second: i32,
}

impl Numbers {
    /// Returns the seconds after midnight; `None` if there is no such time.
    pub(super) fn seconds(&self) -> Option<i32> {
        let hour = match self.hour_of_half {
            Some(hour) if (1..=12).contains(&hour) => hour % 12 + if self.is_afternoon { 12 } else { 0 },
            Some(_) => return None,
            None => self.hour,
        };
        (self.minute < 60 && self.second < 60).then_some(hour * 3_600 + self.minute * 60 + self.second)
    }
}

impl Pattern {
    /// Parses the form of a date. The error says what is missing.
    pub fn of_date(text: &str) -> Result<Self, String> {
        let pattern = Self::parse(text);
        let units =
            [(Unit::Day, Unit::Day, "the day, as DD or D"), (Unit::Month, Unit::Month, "the month, as MM, M or MMM")];
        pattern.require(&units, &[Unit::Year, Unit::YearOfCentury])
    }

    /// Parses the form of a time of day. The error says what is missing.
    pub fn of_time(text: &str) -> Result<Self, String> {
        let pattern = Self::parse(text);
        let units = [
            (Unit::Hour, Unit::HourOfHalf, "the hour, as HH or hh"),
            (Unit::Minute, Unit::Minute, "the minute, as mm"),
        ];
        let pattern = pattern.require(&units, &[Unit::Second])?;
        let has_half = pattern.parts.iter().any(|part| matches!(part, Part::HalfOfDay(_)));
        if has_half == pattern.has(Unit::HourOfHalf) {
            return Ok(pattern);
        }
        Err("has to have both hh and AM, or neither".to_owned())
    }

    fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if let Some((word, part)) = WORDS.iter().find(|(word, _)| rest.starts_with(word)) {
                parts.push(part.clone());
                rest = &rest[word.len()..];
                continue;
            }
            match parts.last_mut() {
                Some(Part::Text(before)) => before.push(next),
                _ => parts.push(Part::Text(next.to_string())),
            }
            rest = &rest[next.len_utf8()..];
        }
        Self { text: text.to_owned(), parts }
    }

    fn has(&self, unit: Unit) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Number(found, ..) => *found == unit,
            Part::MonthName => unit == Unit::Month,
            Part::Weekday | Part::HalfOfDay(_) | Part::Text(_) => false,
        })
    }

    /// Checks that the pattern has one of each pair of units, and no other unit but these and `optional`.
    fn require(self, units: &[(Unit, Unit, &str)], optional: &[Unit]) -> Result<Self, String> {
        if let Some((.., what)) = units.iter().find(|(one, other, _)| !self.has(*one) && !self.has(*other)) {
            return Err(format!("does not say {what}"));
        }
        let is_known =
            |unit: &Unit| optional.contains(unit) || units.iter().any(|(one, other, _)| one == unit || other == unit);
        let is_foreign = self.parts.iter().any(|part| matches!(part, Part::Number(unit, ..) if !is_known(unit)));
        if is_foreign {
            return Err(
                "mixes a date and a time of day; write the date in date_format and the time in time_format".to_owned()
            );
        }
        Ok(self)
    }

    /// Returns the pattern as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether dates of this form have a year.
    pub(super) fn has_year(&self) -> bool {
        self.has(Unit::Year) || self.has(Unit::YearOfCentury)
    }

    /// Reads the beginning of a text. Returns the numbers and the rest; `None` if it does not begin with this form.
    pub(super) fn read<'t>(&self, text: &'t str) -> Option<(Numbers, &'t str)> {
        let (mut numbers, mut rest) = (Numbers::default(), text);
        for part in &self.parts {
            rest = match part {
                Part::Text(fixed) => rest.strip_prefix(fixed.as_str())?,
                Part::Weekday => {
                    let letters = rest.chars().take_while(|letter| letter.is_alphabetic()).take(3).count();
                    let end = rest.char_indices().nth(letters).map_or(rest.len(), |(end, _)| end);
                    (letters >= 2).then_some(&rest[end..])?
                }
                Part::MonthName => {
                    let (name, rest) = rest.split_at_checked(3)?;
                    let month = MONTHS.iter().position(|month| name.eq_ignore_ascii_case(month))?;
                    numbers.month = i8::try_from(month + 1).ok()?;
                    rest
                }
                Part::HalfOfDay(letters) => {
                    let (half, rest) = rest.split_at_checked(*letters)?;
                    numbers.is_afternoon = half.eq_ignore_ascii_case(&"PM"[..*letters]);
                    (numbers.is_afternoon || half.eq_ignore_ascii_case(&"AM"[..*letters])).then_some(rest)?
                }
                Part::Number(unit, least, most) => {
                    let digits = rest.bytes().take(*most).take_while(u8::is_ascii_digit).count();
                    let (number, rest) = (digits >= *least).then(|| rest.split_at(digits))?;
                    numbers.set(*unit, number.parse().ok()?)?;
                    rest
                }
            };
        }
        Some((numbers, rest))
    }
}

impl Numbers {
    fn set(&mut self, unit: Unit, number: i32) -> Option<()> {
        match unit {
            Unit::Year => self.year = i16::try_from(number).ok(),
            Unit::YearOfCentury => self.year = i16::try_from(2000 + number).ok(),
            Unit::Month => self.month = i8::try_from(number).ok()?,
            Unit::Day => self.day = i8::try_from(number).ok()?,
            Unit::Hour => self.hour = number,
            Unit::HourOfHalf => self.hour_of_half = Some(number),
            Unit::Minute => self.minute = number,
            Unit::Second => self.second = number,
        }
        Some(())
    }
}
