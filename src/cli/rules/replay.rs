//! `rules replay`: the planner over stored history, without the daemon.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::app::{clock_of, tenant_settings};
use crate::cli::config_args::ConfigArgs;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, print, print_json};
use crate::cli::scope::{one_tenant, open_reader, usage};
use crate::cli::talk::{Failure, say};
use crate::domain::ids::{RuleId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::words::count;
use crate::engine::trials::{Pace, TrialKit, TrialResult, TrialSide, TrialWish, replay};

/// Acts that the table lists.
const ACTS_SHOWN: usize = 20;

/// Options of `rules replay`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "A rule that is named, or written in a file, is replayed as if it acted, and compared with what was really done and,
where there is one, with the present version of the rule. Without either, all rules are replayed as they are. Nothing is changed.

Examples:
  shiftkeeper rules replay back-from-break
  shiftkeeper rules replay --file new-rule.toml --from 2026-11-16T00:00:00Z --to 2026-11-23T00:00:00Z
  shiftkeeper rules replay --tenant acme --output json"
)]
pub struct ReplayArgs {
    /// A rule that there is.
    #[arg(value_name = "RULE", conflicts_with = "file")]
    pub rule: Option<RuleId>,
    /// A file with one `[[rules]]` table: a new rule, or another version of one that there is.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// First instant, as in 2026-11-16T00:00:00Z; as long before `--to` as may be without it.
    #[arg(long, value_name = "INSTANT")]
    pub from: Option<UtcMicros>,
    /// First instant after the span; now without it.
    #[arg(long, value_name = "INSTANT")]
    pub to: Option<UtcMicros>,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The tenant; may be left out where there is only one.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Replays and prints.
pub async fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let config = &loaded.config;
    let tenant = one_tenant(config, args.tenant.as_ref())?;
    let wish = match (&args.rule, &args.file) {
        (Some(rule), _) => TrialWish::Rule(rule.clone()),
        (None, Some(file)) => TrialWish::Text(
            std::fs::read_to_string(file)
                .map_err(|error| Failure::because(Exit::Failed, format!("{}: {error}", file.display())))?,
        ),
        (None, None) => TrialWish::AllRules,
    };
    let reader = open_reader(config).await?;
    let now = clock_of(config).await.now();
    let editions = reader.rule_editions(&tenant.id).await?;
    let kit = TrialKit::prepare(&tenant_settings(config, tenant)?, &editions, &wish)
        .map_err(|refused| Failure::because(Exit::Problems, refused.to_string()))?;
    let to = args.to.unwrap_or(now);
    let from = args.from.unwrap_or(to - kit.longest);
    if from >= to || to > now || to.since(from) > kit.longest {
        let days = kit.longest.as_secs() / (24 * 3600);
        return Err(usage(format!(
            "a replay goes from an instant to a later one that is not ahead of {now}, over {days} days at most \
             (`tenants.automation.trial_days`)"
        )));
    }
    let told = std::sync::atomic::AtomicU32::new(0);
    let progress = |share: f64| tell(&told, share);
    let pace = Pace { stop: &CancellationToken::new(), gentle: false, progress: &progress };
    let result = replay(&reader, &tenant.id, &kit, (from, to), &pace).await?;
    reader.close().await;
    match args.output {
        Output::Json => print_json(&json!({
            "tenant": tenant.id, "rule": kit.subject, "from": from, "to": to, "result": result,
        }))?,
        Output::Table => print(text(&tenant.id, kit.subject.as_ref(), (from, to), &result))?,
    }
    Ok(Exit::Done.into())
}

/// Says every tenth how far it is.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of ten is a small number")]
fn tell(told: &std::sync::atomic::AtomicU32, share: f64) {
    let tenth = (share * 10.0) as u32;
    if told.fetch_max(tenth, std::sync::atomic::Ordering::Relaxed) < tenth {
        say(format!("{} % of the history is replayed", tenth * 10));
    }
}

fn text(tenant: &TenantId, rule: Option<&RuleId>, span: (UtcMicros, UtcMicros), result: &TrialResult) -> String {
    let subject = rule.map_or_else(|| "all rules".to_owned(), ToString::to_string);
    let mut text = format!(
        "{tenant}, {subject}, {:.0} to {:.0}: {}, looked at every {} s\n",
        span.0,
        span.1,
        count(result.agents, "agent"),
        result.step_s
    );
    let mut line = |name: &str, side: &TrialSide| {
        let held: Vec<String> = side.held.iter().map(|held| format!("{} {}", held.guard, held.times)).collect();
        let held = if held.is_empty() { String::new() } else { format!("; held back: {}", held.join(", ")) };
        let _ = writeln!(text, "{name}: {} on {}{held}", count(side.acts, "act"), count(side.agents, "agent"));
    };
    line("replayed", &result.replayed);
    if let Some(present) = &result.present {
        line("present version", present);
    }
    let (really, compared) = (&result.really, &result.compared);
    let _ = writeln!(text, "really: {} of {}", count(really.acts, "transition"), count(really.agents, "agent"));
    let _ = writeln!(
        text,
        "in both {}, in the replay alone {}, in what was done alone {}",
        compared.both, compared.only_replayed, compared.only_really
    );
    for act in result.replayed.listed.iter().take(ACTS_SHOWN) {
        let _ = writeln!(text, "  {:.0} {}: {} would {}: {}", act.at, act.agent, act.rule, act.wants, act.because);
    }
    if result.replayed.acts > ACTS_SHOWN as u64 {
        let _ = writeln!(text, "  … ({} more; --output json lists 500)", result.replayed.acts - ACTS_SHOWN as u64);
    }
    text.push_str("what a replay cannot know:\n");
    for what in &result.cannot_know {
        let _ = writeln!(text, "  - {what}");
    }
    text
}
