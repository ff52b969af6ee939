//! Charts of a section's rows: the positions of an SVG's marks. Templates draw them.

use jiff::tz::TimeZone;

use crate::report::document::{Cell, Chart, ChartKind, MAX_POINTS, Section};
use crate::report::format;

/// The width of a chart, in SVG units.
pub const WIDTH: f64 = 720.0;
/// The height of a line chart, in SVG units.
pub const HEIGHT: f64 = 240.0;
/// The room for labels beside the marks.
const LEFT_MARGIN: f64 = 60.0;
const RIGHT_MARGIN: f64 = 10.0;
const TOP_MARGIN: f64 = 10.0;
const BOTTOM_MARGIN: f64 = 30.0;
/// The width of the label before a bar, and of the number behind it.
const LABEL_WIDTH: f64 = 220.0;
const NUMBER_WIDTH: f64 = 80.0;
/// The height of a bar with the space around it.
const BAR_STEP: f64 = 22.0;

/// The values of a chart, collected as the rows pass.
#[derive(Clone, Debug)]
pub struct ChartPoints {
    chart: Chart,
    labels: Vec<String>,
    /// The anomaly of each row.
    marks: Vec<Option<String>>,
    /// The values by column and row; `None` for an empty cell.
    values: Vec<Vec<Option<(f64, String)>>>,
    omitted: usize,
}

/// A bar.
#[derive(Clone, PartialEq, Debug)]
pub struct Bar {
    /// The label.
    pub label: String,
    /// The top edge.
    pub y: f64,
    /// The baseline of its texts.
    pub text_y: f64,
    /// The length.
    pub width: f64,
    /// The horizontal position of its number.
    pub value_x: f64,
    /// The number as text.
    pub value: String,
}

/// A line through the rows, interrupted at empty cells.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// The label.
    pub label: String,
    /// The line's number, from 1.
    pub number: usize,
    /// The points of each unbroken stretch, in SVG syntax.
    pub stretches: Vec<String>,
}

/// A mark of an anomaly on the first line.
#[derive(Clone, PartialEq, Debug)]
pub struct Mark {
    /// The horizontal centre.
    pub x: f64,
    /// The vertical centre, from the top.
    pub y: f64,
    /// A description of the anomaly and its position.
    pub text: String,
}

/// A label on an axis.
#[derive(Clone, PartialEq, Debug)]
pub struct Tick {
    /// The position along the axis.
    pub at: f64,
    /// The label.
    pub text: String,
}

/// A chart.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Drawing {
    /// The height; the width is [`WIDTH`].
    pub height: f64,
    /// The bars, if any.
    pub bars: Vec<Bar>,
    /// The lines, if any.
    pub lines: Vec<Line>,
    /// The marks on the first line.
    pub marks: Vec<Mark>,
    /// The legend of the marks.
    pub marked: &'static str,
    /// The labels of the vertical axis of a line chart.
    pub upright: Vec<Tick>,
    /// The labels of the horizontal axis of a line chart.
    pub level: Vec<Tick>,
    /// The number of rows not shown.
    pub left_out: usize,
}

impl ChartPoints {
    /// Creates the points of a section, or `None` if the section has no chart.
    pub fn of(section: &Section) -> Option<Self> {
        let chart = section.chart?;
        let values = vec![Vec::new(); chart.values.len()];
        Some(Self { chart, labels: Vec::new(), marks: Vec::new(), values, omitted: 0 })
    }

    /// Adds a row.
    pub fn add_row(&mut self, cells: &[Cell], zone: &TimeZone) {
        if self.labels.len() >= MAX_POINTS {
            self.omitted += 1;
            return;
        }
        let cell_text = |column: &usize| match &cells[*column] {
            Cell::Empty(_) => None,
            cell => Some(format::display_text(cell, zone)),
        };
        self.labels.push(self.chart.labels.iter().filter_map(cell_text).collect::<Vec<_>>().join(", "));
        self.marks.push(self.chart.mark.as_ref().and_then(cell_text));
        for (values, column) in self.values.iter_mut().zip(self.chart.values) {
            let cell = &cells[*column];
            values.push(cell_height(cell).map(|height| (height, format::display_text(cell, zone))));
        }
    }

    /// Returns the chart, or `None` without rows.
    pub fn to_drawing(&self, section: &Section) -> Option<Drawing> {
        let all = self.values.iter().flatten().flatten();
        let highest = all.map(|(height, _)| *height).fold(0.0_f64, f64::max);
        if self.labels.is_empty() || highest <= 0.0 {
            return None;
        }
        Some(match self.chart.kind {
            ChartKind::Bars => self.bars(highest),
            ChartKind::Line => self.lines(section, highest),
        })
    }

    fn bars(&self, highest: f64) -> Drawing {
        let available_width = WIDTH - LABEL_WIDTH - NUMBER_WIDTH;
        let values = self.values.first().map(Vec::as_slice).unwrap_or_default();
        let mut y = TOP_MARGIN;
        let bars: Vec<Bar> = self
            .labels
            .iter()
            .zip(values)
            .map(|(label, value)| {
                let (height, value) = value.clone().unwrap_or((0.0, "–".to_owned()));
                let width = (height.max(0.0) / highest * available_width * 10.0).round() / 10.0;
                let bar =
                    Bar { label: label.clone(), y, text_y: y + 12.0, width, value_x: LABEL_WIDTH + width + 6.0, value };
                y += BAR_STEP;
                bar
            })
            .collect();
        Drawing { height: y + TOP_MARGIN, bars, left_out: self.omitted, ..Drawing::default() }
    }

    fn lines(&self, section: &Section, highest: f64) -> Drawing {
        let gaps = as_float(self.labels.len().saturating_sub(1).max(1));
        let x = |place: usize| LEFT_MARGIN + as_float(place) / gaps * (WIDTH - LEFT_MARGIN - RIGHT_MARGIN);
        let step = round_step(highest);
        let y = |height: f64| TOP_MARGIN + (1.0 - height / (4.0 * step)) * (HEIGHT - TOP_MARGIN - BOTTOM_MARGIN);
        let titles = self.chart.values.iter().map(|column| section.columns[*column].title);
        let lines = (1..)
            .zip(titles)
            .zip(&self.values)
            .map(|((number, title), values)| Line {
                label: title.to_owned(),
                number,
                stretches: line_stretches(values, x, y),
            })
            .filter(|line| !line.stretches.is_empty())
            .collect();
        let first = self.values.first().map(Vec::as_slice).unwrap_or_default();
        let rows = self.marks.iter().zip(first).zip(&self.labels).enumerate();
        let marks = rows.filter_map(|(place, ((mark, value), label))| {
            let (mark, (height, value)) = (mark.as_ref()?, value.as_ref()?);
            Some(Mark { x: x(place), y: y(height.max(0.0)), text: format!("{mark}: {value}, {label}") })
        });
        let upright = [0.0, 1.0, 2.0, 3.0, 4.0]
            .map(|steps| Tick { at: y(step * steps), text: axis_number(step * steps) })
            .to_vec();
        let last = self.labels.len() - 1;
        let mut places = vec![0, last / 2, last];
        places.dedup();
        let level = places.into_iter().map(|place| Tick { at: x(place), text: self.labels[place].clone() }).collect();
        let marked = self.chart.mark.map(|column| section.columns[column].title).unwrap_or_default();
        let marks = marks.collect();
        Drawing { height: HEIGHT, lines, marks, marked, upright, level, left_out: self.omitted, ..Drawing::default() }
    }
}

fn line_stretches(values: &[Option<(f64, String)>], x: impl Fn(usize) -> f64, y: impl Fn(f64) -> f64) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut continues = false;
    for (place, value) in values.iter().enumerate() {
        let Some((height, _)) = value else {
            continues = false;
            continue;
        };
        let point = format!("{:.1},{:.1}", x(place), y(height.max(0.0)));
        match all.last_mut() {
            Some(stretch) if continues => {
                stretch.push(' ');
                stretch.push_str(&point);
            }
            _ => all.push(point),
        }
        continues = true;
    }
    all
}

/// Returns the smallest step of 1, 2, 2.5 or 5 times a power of ten of which four reach `highest`.
pub fn round_step(highest: f64) -> f64 {
    let ten = 10_f64.powf((highest / 4.0).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0].map(|part| part * ten);
    steps.into_iter().find(|step| step * 4.0 >= highest).unwrap_or(10.0 * ten)
}

/// Returns a number with few digits for an axis.
fn axis_number(number: f64) -> String {
    if number >= 10.0 || number == 0.0 { format!("{number:.0}") } else { format!("{number:.2}") }
}

/// Returns the height of a cell, or `None` if it is not a number.
fn cell_height(cell: &Cell) -> Option<f64> {
    match cell {
        #[expect(clippy::cast_precision_loss, reason = "a picture shows three digits")]
        Cell::Count(count) => Some(*count as f64),
        Cell::Number(number) | Cell::Share(number) => Some(*number),
        #[expect(clippy::cast_precision_loss, reason = "a picture shows three digits")]
        Cell::Seconds(micros) => Some(*micros as f64 / 1e6),
        Cell::Text(_) | Cell::Instant(_) | Cell::Day(_) | Cell::Empty(_) => None,
    }
}

fn as_float(place: usize) -> f64 {
    u32::try_from(place).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::{CellKind, Column};

    const COLUMNS: &[Column] = &[
        Column { name: "day", title: "Day", kind: CellKind::Text, definition: "" },
        Column { name: "share", title: "Share", kind: CellKind::Share, definition: "" },
        Column { name: "odd", title: "Anomaly", kind: CellKind::Text, definition: "" },
    ];

    const fn section(kind: ChartKind) -> Section {
        Section {
            name: "days",
            title: "Days",
            columns: COLUMNS,
            written: None,
            chart: Some(Chart { kind, labels: &[0, 2], values: &[1], mark: Some(2) }),
        }
    }

    fn drawn(kind: ChartKind, shares: &[Option<f64>]) -> Option<Drawing> {
        let section = section(kind);
        let mut points = ChartPoints::of(&section).expect("it has a picture");
        for share in shares {
            let cell = share.map_or(Cell::Empty("nobody"), Cell::Share);
            let odd = if *share == Some(0.0) { Cell::text("DROP") } else { Cell::Empty("not an anomaly") };
            points.add_row(&[Cell::text("a day"), cell, odd], &TimeZone::UTC);
        }
        points.to_drawing(&section)
    }

    #[test]
    fn the_longest_bar_fills_the_room_and_a_line_breaks_where_nothing_is_known() {
        let bars = drawn(ChartKind::Bars, &[Some(0.5), Some(1.0), None]).expect("a picture").bars;
        let widths: Vec<_> = bars.iter().map(|bar| bar.width.round()).collect();
        assert_eq!(widths, [210.0, 420.0, 0.0]);
        assert_eq!(bars[0].value, "50.0 %");
        let lines = drawn(ChartKind::Line, &[Some(1.0), Some(0.0), None, Some(0.5)]).expect("a picture");
        assert_eq!(lines.lines[0].stretches, ["60.0,10.0 276.7,210.0", "710.0,110.0"]);
        let marks: Vec<_> = lines.marks.iter().map(|mark| (mark.x.round(), mark.y, mark.text.as_str())).collect();
        assert_eq!((marks.as_slice(), lines.marked), (&[(277.0, 210.0, "DROP: 0.0 %, a day, DROP")][..], "Anomaly"));
        let labels: Vec<_> = lines.level.iter().map(|tick| tick.text.as_str()).collect();
        assert_eq!(labels, ["a day", "a day, DROP", "a day"], "what is empty is no part of a name");
    }

    #[test]
    fn an_axis_has_round_numbers_that_hold_all_there_is() {
        for (top, step) in [
            (5.67, 2.0),
            (4.0, 1.0),
            (4.01, 2.0),
            (9.0, 2.5),
            (100.0, 25.0),
            (81.0, 25.0),
            (0.3, 0.1),
            (2001.0, 1000.0),
        ] {
            let found = round_step(top);
            assert!((found / step - 1.0).abs() < 1e-9, "{top}: {found}");
        }
        let texts: Vec<_> = drawn(ChartKind::Line, &[Some(5.67)])
            .expect("a picture")
            .upright
            .into_iter()
            .map(|tick| tick.text)
            .collect();
        assert_eq!(texts, ["0", "2.00", "4.00", "6.00", "8.00"]);
    }

    #[test]
    fn a_chart_of_nothing_is_absent_and_a_large_one_is_cut() {
        assert_eq!(drawn(ChartKind::Bars, &[]), None);
        assert_eq!(drawn(ChartKind::Line, &[None, Some(0.0)]), None);
        let much = drawn(ChartKind::Line, &[Some(0.5); MAX_POINTS + 3]).expect("a picture");
        assert_eq!(much.left_out, 3);
    }
}
