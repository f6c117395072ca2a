//! What is measured, against what, and by which bar.

mod beside;
mod hot;
mod instructions;
mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::elsewhere;
use super::ground::{Ground, variable};
use super::load::{self, Order, Pace, Plan, Target};
use super::noop::Layout;
use super::population::{Bad, TOKENS_OF_USER};
use super::process::Process;
use super::questions::Questions;
use super::report::{Figures, Report, Row, real};
use super::{Scenario, Settings, Watch};
use crate::app::BoxError;

/// How many values that are none are prepared: none is asked again soon.
const BAD: u64 = 100_000;
/// How many tokens there are where nothing else is said.
const TOKENS: u64 = 100_000;
const MILLION: u64 = 1_000_000;

/// Measures.
pub fn run(settings: &Settings, watch: &dyn Watch) -> Result<Report, BoxError> {
    if let Some(elsewhere) = &settings.elsewhere {
        if settings.scenario != Scenario::Load {
            return Err("a row of the budget is measured on a server of this program's own".into());
        }
        let rounds = settings.rounds.unwrap_or(5);
        return elsewhere::run(elsewhere, &plan(settings), rounds, watch);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut bench = Bench {
        ground: Ground::new(settings, &runtime)?,
        settings,
        runtime,
        watch,
        report: Report::default(),
    };
    let layout = settings.layout;
    match settings.scenario {
        Scenario::Load => bench.load()?,
        Scenario::P1 => bench.hot(TOKENS, &[("P1", layout, 0.85)])?,
        Scenario::P2 => bench.hot(TOKENS, &[("P2", Layout::Shared, 1.5)])?,
        Scenario::P3 => bench.batch()?,
        Scenario::P4 => bench.cold()?,
        Scenario::P5 => bench.memory()?,
        Scenario::P6 => bench.restart()?,
        Scenario::P8 => bench.creates()?,
        Scenario::P9 => bench.traced()?,
        Scenario::P10 => bench.growth()?,
        Scenario::Flood => bench.flood()?,
        Scenario::Instructions => bench.instructions()?,
        Scenario::Million => {
            let held = [("P1", layout, 0.85), ("P2", Layout::Shared, 1.5)];
            bench.hot(MILLION, &held)?;
        }
    }
    Ok(bench.report)
}

/// A measurement under way.
struct Bench<'a> {
    ground: Ground,
    settings: &'a Settings,
    runtime: Runtime,
    watch: &'a dyn Watch,
    report: Report,
}

/// What is measured in turn with others.
struct Subject<'a> {
    name: &'a str,
    process: &'a Process,
    target: Target,
    plan: Plan,
}

/// What was found of each subject, round by round.
type Found<'a> = Vec<(&'a str, Vec<Figures>)>;

impl Settings {
    /// Returns how many tenants there are: one, where one has a million tokens.
    pub(super) fn tenants(&self) -> u64 {
        let default = if self.scenario == Scenario::P10 {
            1
        } else {
            10
        };
        self.tenants.unwrap_or(default)
    }
}

impl Bench<'_> {
    fn plan(&self) -> Plan {
        plan(self.settings)
    }

    /// Fills the store, and prepares what is asked.
    fn questions(&mut self, tokens: u64) -> Result<Arc<Questions>, BoxError> {
        self.fill(self.settings.tokens.unwrap_or(tokens))?;
        self.prepared()
    }

    /// Prepares what is asked of what is in the store.
    fn prepared(&self) -> Result<Arc<Questions>, BoxError> {
        let questions = Questions::new(self.ground.population.clone(), self.ground.seeded)?;
        let kinds = [Bad::Unknown, Bad::WrongSecret, Bad::Malformed];
        let shares = kinds.into_iter().zip(self.settings.bad_permille);
        let kinds: Vec<Bad> = shares
            .flat_map(|(kind, share)| std::iter::repeat_n(kind, share as usize))
            .collect();
        Ok(Arc::new(questions.with_bad(&kinds, BAD)?))
    }

    /// Fills the store.
    fn fill(&mut self, tokens: u64) -> Result<(), BoxError> {
        let began = Instant::now();
        self.ground.seed(&self.runtime, tokens, self.watch)?;
        let took = began.elapsed().as_secs_f64();
        let seeded = self.ground.seeded;
        self.report.fact(
            format!("filling the store up to {seeded} tokens"),
            took,
            "s",
        );
        let note = format!(
            "{seeded} tokens of {} users in {} tenants on {}, in the store before the server starts. \
             Their fingerprints are their own and verify them; their bcrypt hash is one for all, and \
             verifies none.",
            seeded / TOKENS_OF_USER,
            self.settings.tenants(),
            self.ground.database,
        );
        self.report.notes.push(note);
        Ok(())
    }

    /// Starts a server, and has it asked for each token once.
    fn server(&mut self, questions: &Arc<Questions>) -> Result<Process, BoxError> {
        let server = self.started(&[])?;
        self.introspect_each(&server, questions)?;
        Ok(server)
    }

    /// Starts a server with these keys set.
    fn started(&mut self, more: &[(String, String)]) -> Result<Process, BoxError> {
        let layout = match self.settings.layout {
            Layout::PerCore => "per-core",
            Layout::Shared => "shared",
        };
        let mut variables = Vec::new();
        // Keys that this version may not have: it is measured as it is.
        for (key, value) in [("server.runtime", layout), ("coherence.memory_mib", "1024")] {
            let set = variable(key, value);
            if !self
                .settings
                .variables
                .iter()
                .any(|(name, _)| *name == set.0)
                && self.ground.knows(std::slice::from_ref(&set))
            {
                variables.push(set);
            }
        }
        variables.extend_from_slice(more);
        let server = self.ground.serve(&variables)?;
        let start = server.start.as_secs_f64();
        self.report.fact("start of the server", start, "s");
        if let Some(memory) = server.memory() {
            let memory = real(memory) / 1_048_576.0;
            self.report
                .fact("memory of the server once it serves", memory, "MiB");
        }
        Ok(server)
    }

    /// Has a server asked for each token once, many in a call.
    fn introspect_each(
        &mut self,
        server: &Process,
        questions: &Arc<Questions>,
    ) -> Result<(), BoxError> {
        let before = server.memory();
        let plan = Plan {
            connections: 4,
            streams: 4,
            batch: 100,
            order: Order::Once,
            bad_permille: 0,
            pace: Pace::Closed,
            ..self.plan()
        };
        let subject = self.of_server("", server, plan);
        let (outcome, ..) = load::run(&plan, &subject.target, questions, || ())?;
        let took = outcome.elapsed.as_secs_f64();
        self.report
            .fact("introspecting each token once, 100 in a call", took, "s");
        if let (Some(before), Some(after)) = (before, server.memory()) {
            let each = real(after.saturating_sub(before)) / f64::from(questions.count().max(1));
            self.report
                .fact("memory more after that, for each token", each, "B");
            let after = real(after) / 1_048_576.0;
            self.report
                .fact("memory of the server after that", after, "MiB");
        }
        Ok(())
    }

    fn of_server<'a>(&self, name: &'a str, server: &'a Process, plan: Plan) -> Subject<'a> {
        Subject {
            name,
            process: server,
            target: Target {
                address: server.address,
                authorization: Some(format!("Bearer {}", self.ground.caller)),
                is_noop: false,
            },
            plan,
        }
    }

    /// Measures the subjects in turn, again and again.
    fn rounds<'a>(
        &self,
        questions: &Arc<Questions>,
        subjects: &[Subject<'a>],
    ) -> Result<Found<'a>, BoxError> {
        let mut found: Found<'_> = subjects
            .iter()
            .map(|subject| (subject.name, Vec::new()))
            .collect();
        for round in 0..self.settings.rounds.unwrap_or(5) {
            for (subject, (_, found)) in subjects.iter().zip(&mut found) {
                found.push(measured(subject, questions)?);
            }
            self.watch.at("rounds measured", round as u64 + 1);
        }
        Ok(found)
    }

    /// Tells, of each subject, the round of the median.
    fn tell(&mut self, found: &Found<'_>) {
        for (name, rounds) in found {
            let mut rounds = rounds.clone();
            rounds.sort_by(|a, b| a.calls_per_second.total_cmp(&b.calls_per_second));
            if let Some(figures) = rounds.get(rounds.len() / 2) {
                self.report.loads.push(Row {
                    name: (*name).to_owned(),
                    figures: figures.clone(),
                });
            }
        }
    }
}

/// Returns the plan that the flags describe: all else as resource servers do.
fn plan(settings: &Settings) -> Plan {
    Plan {
        connections: settings.connections.unwrap_or(8),
        streams: settings.streams.unwrap_or(16),
        threads: settings.threads,
        pace: settings.rate.map_or(Pace::Closed, Pace::Open),
        order: Order::Random,
        batch: settings.batch.unwrap_or(1),
        bad_permille: settings.bad_permille.iter().sum(),
        warm_up: Duration::from_millis(300),
        duration: settings.duration.unwrap_or(Duration::from_secs(2)),
    }
}

/// Measures one round.
fn measured(subject: &Subject<'_>, questions: &Arc<Questions>) -> Result<Figures, BoxError> {
    let sample = || subject.process.cpu();
    let (outcome, before, after) = load::run(&subject.plan, &subject.target, questions, sample)?;
    let cpu = before
        .zip(after)
        .map(|(before, after)| after.saturating_sub(before));
    Ok(Figures::of(&outcome, cpu))
}

fn of_noop<'a>(name: &'a str, noop: &'a Process, plan: Plan) -> Subject<'a> {
    Subject {
        name,
        process: noop,
        target: Target {
            address: noop.address,
            // What every call carries costs as much here.
            authorization: Some(format!("Bearer ta_{}", "0".repeat(61))),
            is_noop: true,
        },
        plan,
    }
}

/// Returns the median, over the rounds, of the first's figure against the second's.
fn ratio(
    found: &Found<'_>,
    (first, second): (usize, usize),
    figure: impl Fn(&Figures) -> f64,
) -> f64 {
    let (Some((_, ours)), Some((_, theirs))) = (found.get(first), found.get(second)) else {
        return f64::NAN;
    };
    let ratios = ours.iter().zip(theirs);
    median(ratios.map(|(ours, theirs)| figure(ours) / figure(theirs)))
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
