//! Hot introspection while something else goes on: creations, traces, values that are none.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::churn::{Churn, Creates};
use super::super::collector::Collector;
use super::super::ground::{Ground, variable};
use super::super::load::{Pace, Plan};
use super::super::population::Bad;
use super::super::questions::Questions;
use super::{BAD, Bench, Found, Subject, TOKENS, measured, ratio};
use crate::app::BoxError;

/// What counts what bcrypt judged, and what waited for a connection to the store.
const COSTS: [&str; 2] = [
    "token_authority_bcrypt_verifications_total",
    "token_authority_store_wait_seconds_count",
];

impl Bench<'_> {
    /// Hot tokens at half load while others are created as fast as they are hashed.
    pub(super) fn creates(&mut self) -> Result<(), BoxError> {
        let questions = self.questions(TOKENS)?;
        let server = self.server(&questions)?;
        let rate = self.half(&server, &questions)?;
        let client = self.client(server.address)?;
        let plan = Plan {
            pace: Pace::Open(rate),
            ..self.plan()
        };
        let mut found: Found<'_> = vec![
            ("hot at half load, tokens created beside", Vec::new()),
            ("hot at half load", Vec::new()),
        ];
        for round in 0..self.settings.rounds.unwrap_or(5) {
            for (with, (name, found)) in [true, false].into_iter().zip(&mut found) {
                let churn = with.then(|| Churn::start(&self.runtime, &client, Creates::Flood, 0.0));
                found.push(measured(&self.of_server(name, &server, plan), &questions)?);
                if let Some(churn) = churn {
                    let (created, _) = churn.stop(&self.runtime)?;
                    self.report
                        .fact("tokens created beside", created, "a second");
                }
            }
            self.watch.at("rounds measured", round as u64 + 1);
        }
        self.tell(&found);
        self.report.fact("half load", rate, "calls a second");
        let late = ratio(&found, (0, 1), |figures| figures.latency.p99);
        let what = "p99 at half load while tokens are created, of that without";
        self.report.at_most("P8", what, late, 3.0);
        server.stop()
    }

    /// Traces of one call in a hundred, against none.
    pub(super) fn traced(&mut self) -> Result<(), BoxError> {
        if self.settings.database_url_file.is_some() {
            return Err(
                "p9 has two servers at once, each on a store of its own: SQLite alone".into(),
            );
        }
        let collector = Collector::start(&self.runtime)?;
        let endpoint = format!("http://{}", collector.address);
        let questions = self.questions(TOKENS)?;
        let untraced = self.server(&questions)?;
        // A store has one server, and two must be there to be measured in turn.
        let other = Ground::new(self.settings, &self.runtime)?;
        let ours = std::mem::replace(&mut self.ground, other);
        let questions_of_other = self.questions(TOKENS)?;
        let traced = self.started(&[
            variable("telemetry.otlp_endpoint", &endpoint),
            variable("telemetry.sample_ratio", "0.01"),
        ])?;
        self.introspect_each(&traced, &questions_of_other)?;
        let plan = self.plan();
        let with = self.of_server("hot, one call in a hundred traced", &traced, plan);
        let other = std::mem::replace(&mut self.ground, ours);
        let without = self.of_server("hot, nothing traced", &untraced, plan);
        let mut found: Found<'_> = vec![(with.name, Vec::new()), (without.name, Vec::new())];
        for round in 0..self.settings.rounds.unwrap_or(5) {
            let subjects: [(&Subject<'_>, &Arc<Questions>); 2] =
                [(&with, &questions_of_other), (&without, &questions)];
            for ((subject, questions), (_, found)) in subjects.into_iter().zip(&mut found) {
                found.push(measured(subject, questions)?);
            }
            self.watch.at("rounds measured", round as u64 + 1);
        }
        self.tell(&found);
        let spans = collector.spans.load(Ordering::Relaxed);
        self.report
            .fact("spans that the collector got", super::real(spans), "");
        let calls = ratio(&found, (0, 1), |figures| figures.calls_per_second);
        let what = "calls a second with one in a hundred traced, of those without";
        self.report.at_least("P9", what, calls, 0.9);
        untraced.stop()?;
        traced.stop()?;
        drop(other);
        Ok(())
    }

    /// Good values at a rate, beside as many that are none, against twice as many good ones.
    pub(super) fn flood(&mut self) -> Result<(), BoxError> {
        self.fill(self.settings.tokens.unwrap_or(TOKENS))?;
        let population = self.ground.population.clone();
        let questions = Questions::new(population, self.ground.seeded)?;
        let kinds = [Bad::Unknown, Bad::WrongSecret, Bad::Malformed];
        let questions = Arc::new(questions.with_bad(&kinds, BAD)?);
        let server = self.server(&questions)?;
        let rate = self.half(&server, &questions)? / 2.0;
        let plan = |times: f64, bad_permille: u32| Plan {
            pace: Pace::Open(rate * times),
            bad_permille,
            ..self.plan()
        };
        let subjects = [
            self.of_server(
                "good values beside as many bad ones",
                &server,
                plan(2.0, 500),
            ),
            self.of_server("good values alone, twice as many", &server, plan(2.0, 0)),
            self.of_server("good values alone", &server, plan(1.0, 0)),
        ];
        let mut found: Found<'_> = subjects.iter().map(|it| (it.name, Vec::new())).collect();
        let mut costs = [0.0; COSTS.len()];
        let mut bad = 0.0;
        for round in 0..self.settings.rounds.unwrap_or(5) {
            for (at, (subject, (_, found))) in subjects.iter().zip(&mut found).enumerate() {
                let before = server.metrics(COSTS)?;
                let figures = measured(subject, &questions)?;
                let after = server.metrics(COSTS)?;
                if at == 0 {
                    bad += figures.calls_per_second / 2.0 * subject.plan.duration.as_secs_f64();
                    for ((cost, before), after) in costs.iter_mut().zip(before).zip(after) {
                        *cost += after - before;
                    }
                }
                found.push(figures);
            }
            self.watch.at("rounds measured", round as u64 + 1);
        }
        let late = |with| ratio(&found, (0, with), |figures| figures.latency.p99);
        let (as_many, alone) = (late(1), late(2));
        self.tell(&found);
        self.report.fact("good values", rate, "a second");
        let what = "p99 of good values beside as many bad ones, of as many good ones instead";
        self.report.at_most("flood", what, as_many, 2.0);
        self.report.fact(
            "the same p99, of that of the good values alone",
            alone,
            "times",
        );
        let [bcrypt, reads] = costs.map(|cost| cost / f64::max(bad, 1.0));
        self.report
            .at_most("flood", "runs of bcrypt for each bad value", bcrypt, 0.0);
        // What the server does by itself is not for a value.
        self.report
            .at_most("flood", "statements for each bad value", reads, 0.001);
        server.stop()
    }
}
