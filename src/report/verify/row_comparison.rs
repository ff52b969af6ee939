//! Compares the rows that the store gives now with those of the file and the manifest.

use super::check::{Check, CheckOutcome};
use super::file::{FileRow, FileRows};
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::report::document::{Cell, Differences, Recount, Section, Sink, WriteError};
use crate::report::manifest::Manifest;
use crate::report::tally::{SectionTally, Tally};

/// The comparison of the store's rows with the earlier ones.
pub(super) struct RowCheck {
    file: Option<FileRows>,
    made_at: UtcMicros,
    recount: Option<Box<dyn Recount>>,
    current: Option<CurrentSection>,
    finished_sections: Vec<(&'static Section, SectionTally, bool)>,
    /// Differences in sections whose rows may have changed since, and in sections summed from them.
    mismatches: Differences,
    derived_mismatches: Differences,
    /// Rows that differ and may, because they changed after the report was made.
    grown_rows: u64,
}

struct CurrentSection {
    section: &'static Section,
    tally: Tally,
    row: u64,
    in_file: bool,
    /// Whether any row of the section may have changed since.
    may_have_changed: bool,
}

impl RowCheck {
    pub(super) fn new(file: Option<FileRows>, manifest: &Manifest) -> Self {
        Self {
            file,
            made_at: manifest.made_at,
            recount: manifest.request.report.new_recount(),
            current: None,
            finished_sections: Vec::new(),
            mismatches: Differences::default(),
            derived_mismatches: Differences::default(),
            grown_rows: 0,
        }
    }

    fn add_mismatch(&mut self, section: &'static Section, says: String) {
        let target = if section.written.is_some() { &mut self.mismatches } else { &mut self.derived_mismatches };
        target.add(|| says);
    }

    /// Returns whether a row may have been different when the report was made.
    fn may_have_changed(&self, section: &Section, cells: &[Cell]) -> bool {
        match section.written.and_then(|column| cells.get(column)) {
            Some(Cell::Instant(at)) => *at > self.made_at,
            Some(Cell::Empty(_)) => true,
            Some(
                Cell::Text(_) | Cell::Count(_) | Cell::Number(_) | Cell::Seconds(_) | Cell::Share(_) | Cell::Day(_),
            )
            | None => false,
        }
    }

    /// Compares a row with the file's next one. Returns the file's cells if they can be read.
    fn check_rows(
        &mut self,
        section: &'static Section,
        number: u64,
        cells: &[Cell],
    ) -> Result<Option<Vec<Cell>>, WriteError> {
        let Some(file) = &mut self.file else { return Ok(None) };
        let Some(row) = next_row(file)? else {
            self.add_mismatch(section, format!("{}: the file has no row {number}", section.name));
            return Ok(None);
        };
        let (read, difference) = (file.cells(&row), file.difference(&row, cells));
        if let Some(difference) = difference {
            if self.may_have_changed(section, cells) {
                self.grown_rows += 1;
            } else {
                self.add_mismatch(section, format!("{}, row {number}: {difference}", section.name));
            }
        }
        Ok(read)
    }

    /// Returns whether every section is unchanged to the last cell.
    fn digests_match(&self, manifest: &Manifest) -> bool {
        let sections: Vec<_> =
            self.finished_sections.iter().map(|(section, tally, _)| (*section, tally.clone(), false)).collect();
        digest_mismatches(&sections, manifest, false).is_empty()
    }

    fn recount(&mut self, section: &'static Section, cells: Option<&[Cell]>) {
        if let (Some(recount), Some(cells)) = (&mut self.recount, cells) {
            recount.row(section, cells);
        }
    }

    /// Returns the results as checks.
    pub(super) fn checks(mut self, manifest: &Manifest) -> Vec<Check> {
        let digests_only = self.file.is_none();
        let open = self.finished_sections.iter().any(|(_, _, may)| *may);
        let has_changed = if digests_only { open && !self.digests_match(manifest) } else { self.grown_rows > 0 };
        let sections: Vec<_> = self
            .finished_sections
            .iter()
            .map(|(section, tally, may)| (*section, tally.clone(), *may && has_changed))
            .collect();
        let mut mismatches = digest_mismatches(&sections, manifest, has_changed);
        // Totals follow the rows: if rows changed since, the totals must follow from the file's own rows, which the
        // recount checks.
        mismatches.extend(self.mismatches.take_lines());
        if !has_changed {
            mismatches.extend(self.derived_mismatches.take_lines());
        }
        if manifest.request.report.may_still_grow(&manifest.request, manifest.made_at) && !mismatches.is_empty() {
            mismatches.push(MAY_STILL_CHANGE.to_owned());
        }
        let mut rows = Check::from_mismatches("rows", mismatches, "the store gives the same rows again");
        if has_changed && rows.outcome == CheckOutcome::Holds {
            let rows_that = if digests_only { "some rows".to_owned() } else { count_with_noun(self.grown_rows, "row") };
            let says = format!("{rows_that} may have gone on after the report was made; nothing else differs");
            rows = Check::new("rows", if digests_only { CheckOutcome::Unknown } else { CheckOutcome::Holds }, says);
        }
        let mut checks = vec![rows];
        let partly = manifest.file.section.is_some();
        checks.extend(self.recount.as_mut().map(|recount| match recount.end() {
            wrong if !wrong.is_empty() && partly && has_changed => Check::new(
                "totals",
                CheckOutcome::Unknown,
                "the totals are not in this file, and some of its rows have changed since",
            ),
            wrong => Check::from_mismatches("totals", wrong, "the totals follow from the rows"),
        }));
        checks
    }
}

/// The reason why rows may have changed by themselves, which cannot be told from an altered file.
const MAY_STILL_CHANGE: &str = "the span ended less than 36 hours before the report was made: shifts and state intervals that continued \
                         may be the reason; make a report of days that have ended";

fn next_row(file: &mut FileRows) -> Result<Option<FileRow>, WriteError> {
    Ok(file.next()?)
}

impl Sink for RowCheck {
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError> {
        let mut in_file = false;
        if let Some(file) = self.file.as_mut().filter(|file| file.has_section(section)) {
            in_file = true;
            if !file.begin_section(section)? {
                self.add_mismatch(
                    section,
                    format!("{}: the file does not have it, or with other columns", section.name),
                );
            }
        }
        self.current =
            Some(CurrentSection { section, tally: Tally::new(section), row: 0, in_file, may_have_changed: false });
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        current.row += 1;
        current.tally.add_row(cells);
        current.may_have_changed |= self.may_have_changed(current.section, cells);
        // Recount totals from the file's own cells where they can be read.
        if current.in_file {
            let read = self.check_rows(current.section, current.row, cells)?;
            self.recount(current.section, read.as_deref());
        } else {
            self.recount(current.section, Some(cells));
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
                && let Some(row) = next_row(file)?
            {
                more += 1;
                let read = file.cells(&row);
                self.recount(section, read.as_deref());
            }
            if more > 0 {
                let says = format!(
                    "{}: the file has {} more than the store gives",
                    section.name,
                    count_with_noun(more, "row")
                );
                self.add_mismatch(section, says);
            }
        }
        self.finished_sections.push((section, current.tally.finish(), current.may_have_changed));
        Ok(())
    }
}

/// Returns the differences between the current sections and those of the manifest, except for rows that changed
/// since.
fn digest_mismatches(
    sections: &[(&'static Section, SectionTally, bool)],
    manifest: &Manifest,
    has_changed: bool,
) -> Vec<String> {
    let mut mismatches = Vec::new();
    for (section, now, this_went_on) in sections {
        let Some(then) = manifest.sections.iter().find(|tally| tally.name == now.name) else {
            mismatches.push(format!("the manifest does not know the section {}", now.name));
            continue;
        };
        let may_differ = *this_went_on || (has_changed && section.written.is_none());
        if then.rows != now.rows {
            let (then, now) = (count_with_noun(then.rows, "row"), count_with_noun(now.rows, "row"));
            if !may_differ || section.written.is_some() {
                mismatches.push(format!("{}: the manifest says {then}, the store gives {now}", section.name));
            }
        } else if then.sha256 != now.sha256 && !may_differ {
            mismatches.push(format!(
                "{}: the rows that the store gives have another SHA-256 than the manifest's",
                section.name
            ));
        }
    }
    mismatches
}
