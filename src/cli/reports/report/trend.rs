//! `shiftkeeper report trend`: the values of a series by quarter of an hour or by day, and the anomalies among them.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::files::{self, exit_after_write};
use super::options::{self, DateOrInstant, PeriodArgs, ReportOutput, TargetArgs, check_order, zone};
use crate::app::clock_for;
use crate::cli::shared::output::table_with_header;
use crate::cli::shared::scope::{one_tenant, open_reader, usage_error};
use crate::cli::shared::tenant_client::TenantArgs;
use crate::config::Config;
use crate::domain::analytics::series::SeriesSource;
use crate::domain::analytics::series::aggregated::ResultSource;
use crate::domain::analytics::trend::{MIN_WEEKS, SEASONAL_THRESHOLD, THRESHOLD, TrendPoint, TrendSettings, WINDOW};
use crate::domain::ids::{QueueId, SkillId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::report::compliance::ComplianceSpan;
use crate::report::csv_sheet::{CsvSheet, SheetCell};
use crate::report::request::{Filters, ReportKind, Request};
use crate::report::trend::SeriesTrend;
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
    #[command(flatten)]
    scope: TenantArgs,
    /// The series, as in `adherence:team:Care`. If it is unknown, the known ones are listed.
    #[arg(long, value_name = "SERIES", required_unless_present_any = ["skill", "queue"], conflicts_with_all = ["skill", "queue", "figure"])]
    pub series: Option<String>,
    /// A skill's figure.
    #[arg(long, value_name = "ID", conflicts_with = "queue", requires = "figure")]
    pub skill: Option<SkillId>,
    /// A queue's figure.
    #[arg(long, value_name = "ID", requires = "figure")]
    pub queue: Option<QueueId>,
    /// The figure, such as `contacts_queued` or `service_level`. If it is unknown, the known ones are listed.
    #[arg(long, value_name = "NAME")]
    pub figure: Option<String>,
    /// From this date or instant. The default is 60 days before --to.
    #[arg(long, value_name = "WHEN", value_parser = DateOrInstant::parse)]
    pub from: Option<DateOrInstant>,
    /// Before this date or instant. The default includes the newest value.
    #[arg(long, value_name = "WHEN", value_parser = DateOrInstant::parse)]
    pub to: Option<DateOrInstant>,
    /// The time zone of days, weekdays and hours.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub zone: String,
    /// The number of values in the moving average and the z-score.
    #[arg(long, value_name = "N", default_value_t = u16::try_from(WINDOW).unwrap_or(u16::MAX), value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub window: u16,
    /// A z-score above this is an anomaly.
    #[arg(long, value_name = "Z", default_value_t = THRESHOLD, value_parser = parse_threshold)]
    pub threshold: f64,
    /// Options for the output file.
    #[command(flatten)]
    pub target: TargetArgs,
    /// The output format: anomalies as a table, or all values as JSON or CSV.
    #[arg(long, short, value_enum, default_value_t, conflicts_with_all = ["format", "out", "folder", "section"])]
    pub output: ReportOutput,
}

const COLUMNS: [&str; 10] =
    ["at", "value", "movingAverage", "direction", "zScore", "expected", "spread", "seasonScore", "anomaly", "baseline"];

fn parse_threshold(text: &str) -> Result<f64, String> {
    let wrong = || "expects a number greater than 0, such as 2.0".to_owned();
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0).ok_or_else(wrong)
}

/// Runs the command.
pub(super) async fn run(args: TrendArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.scope.config.load_for_command()?;
    if !args.target.is_unset() {
        return files::make_report(&loaded.config, &args.target, |now| build_request(&loaded.config, &args, now)).await;
    }
    let tenant = &one_tenant(&loaded.config, args.scope.tenant.as_ref())?.id;
    let zone = zone(&args.zone)?;
    let source = filters(&args).series_source().map_err(usage_error)?;
    let instant = |when: Option<DateOrInstant>| when.map(|when| when.in_zone(&zone));
    let span = ComplianceSpan { from: instant(args.from), to: instant(args.to) };
    check_order(span, clock_for(&loaded.config).await.now())?;
    let reader = open_reader(&loaded.config).await?;
    let to = span.to.unwrap_or(UtcMicros::MAX);
    let from = match (span.from, span.to) {
        (Some(from), _) => from,
        (None, Some(to)) => to - source.default_span(),
        (None, None) => newest_instant(&reader, tenant, &source).await? - source.default_span(),
    };
    let (days, longest) = (source.max_days(), Duration::from_hours(u64::from(source.max_days()) * 24));
    if to != UtcMicros::MAX && to.since(from) > longest {
        return Err(usage_error(format!("--from {from} to --to {to} is more than {days} days")));
    }
    let to = to.min(from + longest);
    let settings =
        TrendSettings { window: usize::from(args.window), threshold: args.threshold, zone: Some(zone.clone()) };
    let trend = SeriesTrend::read(&reader, tenant, &source, ((from, to), &zone), &settings).await;
    reader.close().await;
    let trend = trend.map_err(|error| match error {
        SeriesError::Read(error) => error.into(),
        SeriesError::TooLong { .. } | SeriesError::TooManyQuarters { .. } | SeriesError::Unavailable(_) => {
            usage_error(error.to_string())
        }
    })?;
    exit_after_write(write_trend(&trend, tenant, &args, &mut io::stdout()))
}

/// Builds the request of the options; its span ends now if no end is given.
fn build_request(config: &Config, args: &TrendArgs, now: UtcMicros) -> anyhow::Result<Request> {
    let period =
        PeriodArgs { tenant: args.scope.tenant.clone(), from: args.from, to: args.to, zone: args.zone.clone() };
    options::build_request(config, ReportKind::Trend, &period, filters(args), now)
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

/// Returns the instant of the newest reading of a figure, of the last observation of the agents, or of the end of the
/// newest result, depending on the source; the epoch if there is none.
async fn newest_instant(reader: &Reader, tenant: &TenantId, source: &SeriesSource) -> anyhow::Result<UtcMicros> {
    let newest = match source {
        SeriesSource::Skill(..) | SeriesSource::Queue(..) => {
            let figures =
                reader.latest_figures(tenant, Duration::ZERO).await.context("the newest figures could not be read")?;
            match source {
                SeriesSource::Skill(..) => figures.skills.iter().map(|taken| taken.at).max(),
                _ => figures.queues.iter().map(|taken| taken.at).max(),
            }
        }
        SeriesSource::Adherence(..) | SeriesSource::NotReady(..) => reader
            .last_observed_span(tenant)
            .await
            .context("the time of the last observation could not be read")?
            .map(|(_, until)| until),
        SeriesSource::Analytics(of) => {
            let run = match &of.source {
                ResultSource::Query(query) => reader.last_analytics_run(tenant, query).await,
                ResultSource::Run(id) => reader.analytics_run(tenant, *id).await,
            };
            run.context("the newest result could not be read")?.map(|run| run.request.to)
        }
    };
    Ok(newest.unwrap_or(UtcMicros::EPOCH + source.default_span()))
}

fn write_trend(trend: &SeriesTrend, tenant: &TenantId, args: &TrendArgs, out: &mut impl Write) -> anyhow::Result<()> {
    match args.output {
        ReportOutput::Json => {
            let source = &trend.source;
            let document = json!({
                "tenant": tenant, "series": source.to_string(), "by": trend.bucket.name(), "skill": args.skill,
                "queue": args.queue, "figure": source.figure(), "zone": trend.zone.iana_name(),
                "window": args.window, "threshold": args.threshold, "seasonal_threshold": SEASONAL_THRESHOLD,
                "least_weeks": MIN_WEEKS, "gaps": trend.gaps, "points": trend.points,
            });
            writeln!(out, "{document}")?;
        }
        ReportOutput::Csv => {
            let mut sheet = CsvSheet::default();
            sheet.write_row(COLUMNS)?;
            for point in &trend.points {
                sheet.write_cells(point_cells(point))?;
            }
            out.write_all(&sheet.finish()?)?;
        }
        ReportOutput::Table => out.write_all(trend_table(trend, tenant).as_bytes())?,
    }
    Ok(out.flush()?)
}

fn point_cells(point: &TrendPoint) -> [SheetCell<'static>; COLUMNS.len()] {
    let number = |number: Option<f64>| SheetCell::Number(number, 4);
    let text = |text: Option<&'static str>| SheetCell::Text(text.unwrap_or_default().into());
    let season = point.season;
    [
        SheetCell::Text(point.at.to_string().into()),
        number(Some(point.value)),
        number(Some(point.moving_average)),
        text(Some(point.direction.name())),
        number(point.z_score),
        number(season.map(|season| season.expected)),
        number(season.map(|season| season.spread)),
        number(season.and_then(|season| season.score)),
        text(point.anomaly.map(|anomaly| anomaly.kind.name())),
        text(point.anomaly.map(|anomaly| anomaly.baseline.name())),
    ]
}

fn trend_table(trend: &SeriesTrend, tenant: &TenantId) -> String {
    let (source, by) = (&trend.source, trend.bucket);
    let mut text = format!("{} of {}, tenant {tenant}, by the {}\n", source.figure(), source.subject(), by.label());
    let (Some(first), Some(last)) = (trend.points.first(), trend.points.last()) else {
        text.push_str("no data in this time range\n");
        return text;
    };
    let _ = writeln!(
        text,
        "from {} to {}: {}, {} without a value; last {:.2}, moving average {:.2}, {}",
        first.at,
        last.at,
        count_with_noun(trend.points.len(), by.name()),
        trend.gaps,
        last.value,
        last.moving_average,
        last.direction.name(),
    );
    let mut rows = table_with_header(["at", "value", "expected", "score", "by", ""]);
    let mut anomaly_count = 0_usize;
    for (point, anomaly) in trend.anomalies().filter_map(|point| Some((point, point.anomaly?))) {
        anomaly_count += 1;
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
    if anomaly_count == 0 {
        text.push_str("no anomalies\n");
    } else {
        let _ = writeln!(text, "{}:\n\n{}", count_with_noun(anomaly_count, "anomaly"), rows.trim_fmt());
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use jiff::tz::TimeZone;
    use serde_json::Value;

    use super::*;
    use crate::domain::analytics::series::SeriesBucket;
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

    fn print_trend(options: &[&str]) -> String {
        let args = args(options).expect("known options");
        let quarter = |place: i64| UtcMicros::from_micros(place * 900_000_000);
        let values = [Some(10.0), Some(12.0), None, Some(11.0), Some(20.0)];
        let samples: Vec<_> = (0..).zip(values).map(|(place, value)| Sample { at: quarter(place), value }).collect();
        let points = trend(&samples, &TrendSettings::default());
        let source = filters(&args).series_source().expect("one");
        let trend = SeriesTrend { source, bucket: SeriesBucket::Quarter, zone: TimeZone::UTC, points, gaps: 1 };
        let mut out = Vec::new();
        write_trend(&trend, &"acme".into(), &args, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_table_names_anomalies_and_the_number_of_missing_values() {
        let table = print_trend(&SKILL);
        for part in ["skill 1001", "4 quarters, 1 without a value", "1 anomaly", "20.00", "+11.0", "window", "SPIKE"] {
            assert!(table.contains(part), "{part}:\n{table}");
        }
    }

    #[test]
    fn json_and_csv_have_every_quarter() {
        let with = |output| print_trend(&[&SKILL[..], &["--output", output]].concat());
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
        let refused = |filters: &Filters| filters.series_source().expect_err("not one");
        let queue =
            Filters { queue: Some("q".into()), figure: Some("contacts_queued".to_owned()), ..Filters::default() };
        assert!(refused(&queue).contains("calls_waiting"), "{}", refused(&queue));
        let series = Filters { series: Some("adherense".to_owned()), ..Filters::default() };
        assert!(refused(&series).contains("write skill:ID:FIGURE"), "{}", refused(&series));
        assert!(zone("Mars/Base").is_err() && zone("Europe/Berlin").is_ok());
    }
}
