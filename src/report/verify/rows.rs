//! Takes the rows that the store gives now and holds those of the file and of the manifest against them.

use super::file::{FileRows, Row};
use super::{Check, Outcome, digests};
use crate::domain::time::UtcMicros;
use crate::domain::words::count;
use crate::report::document::{Cell, Faults, Recount, Section, Sink, WriteError};
use crate::report::manifest::Manifest;
use crate::report::tally::{SectionTally, Tally};

/// What the store gives, held against what was.
pub(super) struct Held {
    file: Option<FileRows>,
    made_at: UtcMicros,
    recount: Option<Box<dyn Recount>>,
    current: Option<Current>,
    ended: Vec<(&'static Section, SectionTally, bool)>,
    /// Of sections whose rows may go on, and of those that are added up from them.
    differences: Faults,
    following: Faults,
    /// Rows that are another now, and may be: they went on after the report was made.
    went_on: u64,
}

struct Current {
    section: &'static Section,
    tally: Tally,
    row: u64,
    in_file: bool,
    /// Some row of it may have gone on since.
    may_have_gone_on: bool,
}

impl Held {
    pub(super) fn new(file: Option<FileRows>, manifest: &Manifest) -> Self {
        Self {
            file,
            made_at: manifest.made_at,
            recount: manifest.request.report.recount(),
            current: None,
            ended: Vec::new(),
            differences: Faults::default(),
            following: Faults::default(),
            went_on: 0,
        }
    }

    fn differs(&mut self, section: &'static Section, says: String) {
        let faults = if section.written.is_some() { &mut self.differences } else { &mut self.following };
        faults.tell(|| says);
    }

    /// Whether a row, as it is now, may have been another when the report was made.
    fn may_have_gone_on(&self, section: &Section, cells: &[Cell]) -> bool {
        match section.written.and_then(|column| cells.get(column)) {
            Some(Cell::Instant(at)) => *at > self.made_at,
            Some(Cell::Empty(_)) => true,
            Some(
                Cell::Text(_) | Cell::Count(_) | Cell::Number(_) | Cell::Seconds(_) | Cell::Share(_) | Cell::Day(_),
            )
            | None => false,
        }
    }

    /// Holds a row against the file's next one; gives the file's, where it can be read.
    fn hold(
        &mut self,
        section: &'static Section,
        number: u64,
        cells: &[Cell],
    ) -> Result<Option<Vec<Cell>>, WriteError> {
        let Some(file) = &mut self.file else { return Ok(None) };
        let Some(row) = next(file)? else {
            self.differs(section, format!("{}: the file has no row {number}", section.name));
            return Ok(None);
        };
        let (read, difference) = (file.cells(&row), file.difference(&row, cells));
        if let Some(difference) = difference {
            if self.may_have_gone_on(section, cells) {
                self.went_on += 1;
            } else {
                self.differs(section, format!("{}, row {number}: {difference}", section.name));
            }
        }
        Ok(read)
    }

    /// Whether every section is as it was, to the last cell.
    fn digests_hold(&self, manifest: &Manifest) -> bool {
        let sections: Vec<_> = self.ended.iter().map(|(section, tally, _)| (*section, tally.clone(), false)).collect();
        digests(&sections, manifest, false).is_empty()
    }

    fn count_again(&mut self, section: &'static Section, cells: Option<&[Cell]>) {
        if let (Some(recount), Some(cells)) = (&mut self.recount, cells) {
            recount.row(section, cells);
        }
    }

    /// What came of it.
    pub(super) fn checks(mut self, manifest: &Manifest) -> Vec<Check> {
        let digests_only = self.file.is_none();
        let open = self.ended.iter().any(|(_, _, may)| *may);
        let went_on = if digests_only { open && !self.digests_hold(manifest) } else { self.went_on > 0 };
        let sections: Vec<_> =
            self.ended.iter().map(|(section, tally, may)| (*section, tally.clone(), *may && went_on)).collect();
        let mut wrong = digests(&sections, manifest, went_on);
        // Totals follow the rows: where rows went on they have to follow from the file's own rows, which the recount sees.
        wrong.extend(self.differences.lines());
        if !went_on {
            wrong.extend(self.following.lines());
        }
        if manifest.request.report.may_go_on(&manifest.request, manifest.made_at) && !wrong.is_empty() {
            wrong.push(UNSETTLED.to_owned());
        }
        let mut rows = Check::of("rows", wrong, "the store gives the same rows again");
        if went_on && rows.outcome == Outcome::Holds {
            let rows_that = if digests_only { "some rows".to_owned() } else { count(self.went_on, "row") };
            let says = format!("{rows_that} may have gone on after the report was made; nothing else differs");
            rows = Check::new("rows", if digests_only { Outcome::Unknown } else { Outcome::Holds }, says);
        }
        let mut checks = vec![rows];
        let partly = manifest.file.section.is_some();
        checks.extend(self.recount.as_mut().map(|recount| match recount.end() {
            wrong if !wrong.is_empty() && partly && went_on => Check::new(
                "totals",
                Outcome::Unknown,
                "the totals are not in this file, and some of its rows went on since",
            ),
            wrong => Check::of("totals", wrong, "the totals follow from the rows"),
        }));
        checks
    }
}

/// Why rows may be others by themselves; nobody can tell that from a change of the file.
const UNSETTLED: &str = "the span ended less than 36 hours before the report was made: shifts and stays that went on may be why; make one of \
                         days that have ended";

fn next(file: &mut FileRows) -> Result<Option<Row>, WriteError> {
    Ok(file.next()?)
}

impl Sink for Held {
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError> {
        let mut in_file = false;
        if let Some(file) = self.file.as_mut().filter(|file| file.has(section)) {
            in_file = true;
            if !file.begin(section)? {
                self.differs(section, format!("{}: the file does not have it, or with other columns", section.name));
            }
        }
        self.current = Some(Current { section, tally: Tally::new(section), row: 0, in_file, may_have_gone_on: false });
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        current.row += 1;
        current.tally.row(cells);
        current.may_have_gone_on |= self.may_have_gone_on(current.section, cells);
        // Totals are counted again from what the file says, where it says it.
        if current.in_file {
            let read = self.hold(current.section, current.row, cells)?;
            self.count_again(current.section, read.as_deref());
        } else {
            self.count_again(current.section, Some(cells));
        }
        self.current = Some(current);
        Ok(())
    }

    fn end(&mut self) -> Result<(), WriteError> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let section = current.section;
        if current.in_file {
            let mut more = 0_u64;
            while let Some(file) = &mut self.file
                && let Some(row) = next(file)?
            {
                more += 1;
                let read = file.cells(&row);
                self.count_again(section, read.as_deref());
            }
            if more > 0 {
                let says = format!("{}: the file has {} more than the store gives", section.name, count(more, "row"));
                self.differs(section, says);
            }
        }
        self.ended.push((section, current.tally.end(), current.may_have_gone_on));
        Ok(())
    }
}
