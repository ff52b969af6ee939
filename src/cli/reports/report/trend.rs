//! `shiftkeeper report trend`: how a series moves by the quarter of an hour or by the day, and which values are odd.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::files::{self, Subject, Target, When};
use super::{ReportOutput, Span, check_order, ended, plain_table, zone};
use crate::app::clock_of;
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::scope::{one_tenant, open_reader, usage};
use crate::config::Config;
use crate::domain::analytics::series::Source;
use crate::domain::analytics::series::aggregated::Results;
use crate::domain::analytics::trend::{LEAST_WEEKS, SEASONAL_THRESHOLD, THRESHOLD, TrendPoint, TrendSettings, WINDOW};
use crate::domain::ids::{QueueId, SkillId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::words::count;
use crate::report::request::{Filters, Kind, Request};
use crate::report::sheet::{Cell, Sheet};
use crate::report::trend::{SeriesTrend, source};
use crate::store::{Reader, SeriesError};

/// Options of `report trend`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "A series is skill:ID:FIGURE or queue:ID:FIGURE, by the quarter of an hour; adherence or not-ready, by the day, with -15m
behind it by the quarter of an hour, of everyone or with :team:NAME or :agent:ID behind that; or analytics:QUERY:METRIC, by the buckets and
the zone of the query, with :DIMENSION=VALUE behind it for one group (analytics-run:RUN:METRIC is of one run alone).

A value is an anomaly when it lies more than 3.5 robust spreads from the values of the same quarter hour of the same \
weekday in earlier weeks. With fewer than four of those, it is an anomaly when its z-score over the preceding values exceeds \
--threshold.

Examples:
  shiftkeeper report trend --skill 1001 --figure contacts_queued
  shiftkeeper report trend --series adherence:team:Care --zone Europe/Berlin
  shiftkeeper report trend --series not-ready-15m:agent:u_0001 --from 2026-10-26 --to 2026-10-30
  shiftkeeper report trend --series analytics:calls:count:channel=voice
  shiftkeeper report trend --queue q_1001 --figure service_level --from 2026-10-01 --to 2026-11-01
  shiftkeeper report trend --skill 1001 --figure agents_available --output csv > available.csv"
)]
pub struct TrendArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The tenant; may be left out where there is only one.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// The series, as in `adherence:team:Care`; an unknown one is answered with the known ones.
    #[arg(long, value_name = "SERIES", required_unless_present_any = ["skill", "queue"], conflicts_with_all = ["skill", "queue", "figure"])]
    pub series: Option<String>,
    /// A skill's figure.
    #[arg(long, value_name = "ID", conflicts_with = "queue", requires = "figure")]
    pub skill: Option<SkillId>,
    /// A queue's figure.
    #[arg(long, value_name = "ID", requires = "figure")]
    pub queue: Option<QueueId>,
    /// The figure, such as `contacts_queued` or `service_level`; an unknown one is answered with the known ones.
    #[arg(long, value_name = "NAME")]
    pub figure: Option<String>,
    /// From this date or instant; 60 days before --to by default.
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub from: Option<When>,
    /// Before this date or instant; through the newest value by default.
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub to: Option<When>,
    /// The days of this time zone are meant, and in it a quarter hour of a weekday is the same one in every week.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub zone: String,
    /// Values that the moving average and the z-score look at.
    #[arg(long, value_name = "N", default_value_t = u16::try_from(WINDOW).unwrap_or(u16::MAX), value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub window: u16,
    /// A z-score beyond this is an anomaly.
    #[arg(long, value_name = "Z", default_value_t = THRESHOLD, value_parser = parse_threshold)]
    pub threshold: f64,
    /// Where to.
    #[command(flatten)]
    pub target: Target,
    /// How to print: anomalies as a table, all values as JSON or CSV.
    #[arg(long, short, value_enum, default_value_t, conflicts_with_all = ["format", "out", "folder", "section"])]
    pub output: ReportOutput,
}

const COLUMNS: [&str; 10] =
    ["at", "value", "movingAverage", "direction", "zScore", "expected", "spread", "seasonScore", "anomaly", "baseline"];

fn parse_threshold(text: &str) -> Result<f64, String> {
    let wrong = || "expects a number greater than 0, such as 2.0".to_owned();
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0).ok_or_else(wrong)
}

/// Prints it.
pub(super) async fn run(args: TrendArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    if !args.target.is_unsaid() {
        return files::make(&loaded.config, &args.target, |now| request(&loaded.config, &args, now)).await;
    }
    let tenant = &one_tenant(&loaded.config, args.tenant.as_ref())?.id;
    let zone = zone(&args.zone)?;
    let source = source(&filters(&args)).map_err(|error| usage(error.to_string()))?;
    let instant = |when: Option<When>| when.map(|when| when.in_zone(&zone));
    let span = Span { from: instant(args.from), to: instant(args.to) };
    check_order(span, clock_of(&loaded.config).await.now())?;
    let reader = open_reader(&loaded.config).await?;
    let to = span.to.unwrap_or(UtcMicros::MAX);
    let from = match (span.from, span.to) {
        (Some(from), _) => from,
        (None, Some(to)) => to - source.usual_span(),
        (None, None) => newest(&reader, tenant, &source).await? - source.usual_span(),
    };
    let (days, longest) = (source.longest_days(), Duration::from_hours(u64::from(source.longest_days()) * 24));
    if to != UtcMicros::MAX && to.since(from) > longest {
        return Err(usage(format!("--from {from} to --to {to} is more than {days} days")));
    }
    let to = to.min(from + longest);
    let settings =
        TrendSettings { window: usize::from(args.window), threshold: args.threshold, zone: Some(zone.clone()) };
    let trend = SeriesTrend::read(&reader, tenant, &source, ((from, to), &zone), &settings).await;
    reader.close().await;
    let trend = trend.map_err(|error| match error {
        SeriesError::Read(error) => error.into(),
        SeriesError::TooLong { .. } | SeriesError::TooMuch { .. } | SeriesError::Unfit(_) => usage(error.to_string()),
    })?;
    ended(write(&trend, tenant, &args, &mut io::stdout()))
}

/// The request that the options make, with a span that ends now where none is named.
fn request(config: &Config, args: &TrendArgs, now: UtcMicros) -> anyhow::Result<Request> {
    let whom = Subject { tenant: args.tenant.clone(), from: args.from, to: args.to, zone: args.zone.clone() };
    files::request(config, Kind::Trend, &whom, filters(args), now)
}

fn filters(args: &TrendArgs) -> Filters {
    Filters {
        series: args.series.clone(),
        skill: args.skill.clone(),
        queue: args.queue.clone(),
        figure: args.figure.clone(),
        window: Some(usize::from(args.window)),
        threshold: Some(args.threshold),
        ..Filters::default()
    }
}

/// When the newest figure of its kind was read, the roster was in sight last, or the newest result ends; the epoch where there was none.
async fn newest(reader: &Reader, tenant: &TenantId, source: &Source) -> anyhow::Result<UtcMicros> {
    let newest = match source {
        Source::Skill(..) | Source::Queue(..) => {
            let figures = reader.latest_figures(tenant, Duration::ZERO).await.context("the newest figures")?;
            match source {
                Source::Skill(..) => figures.skills.iter().map(|taken| taken.at).max(),
                _ => figures.queues.iter().map(|taken| taken.at).max(),
            }
        }
        Source::Adherence(..) | Source::NotReady(..) => {
            reader.last_sight(tenant).await.context("the last sight")?.map(|(_, until)| until)
        }
        Source::Analytics(of) => {
            let run = match &of.of {
                Results::Query(query) => reader.last_analytics_run(tenant, query).await,
                Results::Run(id) => reader.analytics_run(tenant, *id).await,
            };
            run.context("the newest result")?.map(|run| run.request.to)
        }
    };
    Ok(newest.unwrap_or(UtcMicros::EPOCH + source.usual_span()))
}

fn write(trend: &SeriesTrend, tenant: &TenantId, args: &TrendArgs, out: &mut impl Write) -> anyhow::Result<()> {
    match args.output {
        ReportOutput::Json => {
            let source = &trend.source;
            let document = json!({
                "tenant": tenant, "series": source.to_string(), "by": trend.bucket.name(), "skill": args.skill,
                "queue": args.queue, "figure": source.figure(), "zone": trend.zone.iana_name(),
                "window": args.window, "threshold": args.threshold, "seasonal_threshold": SEASONAL_THRESHOLD,
                "least_weeks": LEAST_WEEKS, "gaps": trend.gaps, "points": trend.points,
            });
            writeln!(out, "{document}")?;
        }
        ReportOutput::Csv => {
            let mut sheet = Sheet::default();
            sheet.row(COLUMNS)?;
            for point in &trend.points {
                sheet.cells(cells(point))?;
            }
            out.write_all(&sheet.finish()?)?;
        }
        ReportOutput::Table => out.write_all(table(trend, tenant).as_bytes())?,
    }
    Ok(out.flush()?)
}

fn cells(point: &TrendPoint) -> [Cell<'static>; COLUMNS.len()] {
    let number = |number: Option<f64>| Cell::Number(number, 4);
    let text = |text: Option<&'static str>| Cell::Text(text.unwrap_or_default().into());
    let season = point.season;
    [
        Cell::Text(point.at.to_string().into()),
        number(Some(point.value)),
        number(Some(point.moving_average)),
        text(Some(point.direction.name())),
        number(point.z_score),
        number(season.map(|season| season.expected)),
        number(season.map(|season| season.spread)),
        number(season.and_then(|season| season.score)),
        text(point.anomaly.map(|odd| odd.kind.name())),
        text(point.anomaly.map(|odd| odd.baseline.name())),
    ]
}

fn table(trend: &SeriesTrend, tenant: &TenantId) -> String {
    let (source, by) = (&trend.source, trend.bucket);
    let mut text = format!("{} of {}, tenant {tenant}, by the {}\n", source.figure(), source.subject(), by.noun());
    let (Some(first), Some(last)) = (trend.points.first(), trend.points.last()) else {
        text.push_str("no data in this time range\n");
        return text;
    };
    let _ = writeln!(
        text,
        "from {} to {}: {}, {} without a value; last {:.2}, moving average {:.2}, {}",
        first.at,
        last.at,
        count(trend.points.len(), by.name()),
        trend.gaps,
        last.value,
        last.moving_average,
        last.direction.name(),
    );
    let mut rows = plain_table();
    rows.set_header(["at", "value", "expected", "score", "by", ""]);
    let mut odd = 0_usize;
    for (point, anomaly) in trend.anomalies().filter_map(|point| Some((point, point.anomaly?))) {
        odd += 1;
        let expected = point.season.map_or(String::new(), |season| format!("{:.2}", season.expected));
        rows.add_row([
            point.at.to_string(),
            format!("{:.2}", point.value),
            expected,
            format!("{:+.1}", anomaly.score),
            anomaly.baseline.name().to_owned(),
            anomaly.kind.name().to_owned(),
        ]);
    }
    if odd == 0 {
        text.push_str("no anomalies\n");
    } else {
        let _ = writeln!(text, "{}:\n\n{}", count(odd, "anomaly"), rows.trim_fmt());
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use jiff::tz::TimeZone;
    use serde_json::Value;

    use super::*;
    use crate::domain::analytics::series::Bucket;
    use crate::domain::analytics::trend::{Sample, trend};

    const SKILL: [&str; 4] = ["--skill", "1001", "--figure", "contacts_queued"];

    #[derive(Parser, Debug)]
    struct Command {
        #[command(flatten)]
        args: TrendArgs,
    }

    fn args(options: &[&str]) -> Result<TrendArgs, String> {
        let words = ["trend"].into_iter().chain(options.iter().copied());
        Command::try_parse_from(words).map(|command| command.args).map_err(|error| error.to_string())
    }

    fn printed(options: &[&str]) -> String {
        let args = args(options).expect("known options");
        let quarter = |place: i64| UtcMicros::from_micros(place * 900_000_000);
        let values = [Some(10.0), Some(12.0), None, Some(11.0), Some(20.0)];
        let samples: Vec<_> = (0..).zip(values).map(|(place, value)| Sample { at: quarter(place), value }).collect();
        let points = trend(&samples, &TrendSettings::default());
        let source = source(&filters(&args)).expect("one");
        let trend = SeriesTrend { source, bucket: Bucket::Quarter, zone: TimeZone::UTC, points, gaps: 1 };
        let mut out = Vec::new();
        write(&trend, &"acme".into(), &args, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_table_names_what_is_odd_and_says_how_much_is_missing() {
        let table = printed(&SKILL);
        for part in ["skill 1001", "4 quarters, 1 without a value", "1 anomaly", "20.00", "+11.0", "window", "SPIKE"] {
            assert!(table.contains(part), "{part}:\n{table}");
        }
    }

    #[test]
    fn json_and_csv_have_every_quarter() {
        let with = |output| printed(&[&SKILL[..], &["--output", output]].concat());
        let document: Value = serde_json::from_str(&with("json")).expect("JSON");
        assert_eq!(document["points"].as_array().map(Vec::len), Some(4));
        assert_eq!(document["points"][3]["anomaly"]["kind"], "SPIKE");
        assert_eq!((&document["skill"], &document["queue"]), (&Value::from("1001"), &Value::Null));
        assert_eq!((&document["series"], &document["by"]), (&"skill:1001:contacts_queued".into(), &"quarter".into()));
        let csv = with("csv");
        let lines: Vec<_> = csv.split_terminator("\r\n").collect();
        assert_eq!(lines[0], COLUMNS.join(","));
        assert!(lines[4].ends_with("SPIKE,window"), "{csv}");
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_way_out() {
        assert!(args(&[]).is_err());
        assert!(args(&["--skill", "1"]).is_err(), "a skill has several figures");
        assert!(args(&[&SKILL[..], &["--queue", "2"]].concat()).is_err());
        assert!(args(&[&SKILL[..], &["--series", "adherence"]].concat()).is_err());
        assert!(args(&["--series", "adherence"]).is_ok());
        let wrong = args(&[&SKILL[..], &["--threshold", "0"]].concat());
        assert!(wrong.is_err_and(|error| error.contains("such as 2.0")));
        assert!(args(&[&SKILL[..], &["--window", "1"]].concat()).is_err());
        let refused = |filters: &Filters| source(filters).expect_err("not one").to_string();
        let queue =
            Filters { queue: Some("q".into()), figure: Some("contacts_queued".to_owned()), ..Filters::default() };
        assert!(refused(&queue).contains("calls_waiting"), "{}", refused(&queue));
        let series = Filters { series: Some("adherense".to_owned()), ..Filters::default() };
        assert!(refused(&series).contains("write skill:ID:FIGURE"), "{}", refused(&series));
        assert!(zone("Mars/Base").is_err() && zone("Europe/Berlin").is_ok());
    }
}
