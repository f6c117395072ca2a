//! Tokens that are in no memory: what reading them costs, and how long a restart is felt.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::super::load::{Order, Pace, Plan};
use super::super::population::mixed;
use super::super::report::real;
use super::{Bench, Row, TOKENS, measured, median};
use crate::app::BoxError;
use crate::domain::value::Lookup;

/// How many ask at once.
const AT_ONCE: usize = 8;
/// The metric that counts what bcrypt judged.
const BCRYPT: &str = "token_authority_bcrypt_verifications_total";

impl Bench<'_> {
    /// Each token once, against the least that reading it costs through the same driver.
    pub(super) fn cold(&mut self) -> Result<(), BoxError> {
        let questions = self.questions(TOKENS)?;
        let plan = Plan {
            connections: self.settings.connections.unwrap_or(AT_ONCE),
            streams: self.settings.streams.unwrap_or(1),
            order: Order::Once,
            pace: Pace::Closed,
            ..self.plan()
        };
        let lookups = self.ground.lookups()?;
        let (mut ratios, mut bare) = (Vec::new(), Vec::new());
        let mut rows = Vec::new();
        for round in 0..self.settings.rounds.unwrap_or(3) {
            let server = self.started(&[])?;
            let subject = self.of_server("cold introspection, each token once", &server, plan);
            let figures = measured(&subject, &questions)?;
            let name = subject.name.to_owned();
            server.stop()?;
            let probed = self.probe(&lookups)?;
            ratios.push(figures.calls_per_second / probed);
            bare.push(probed);
            rows.push(Row { name, figures });
            self.watch.at("rounds measured", round as u64 + 1);
        }
        rows.sort_by(|a, b| {
            a.figures
                .calls_per_second
                .total_cmp(&b.figures.calls_per_second)
        });
        let middle = rows.len() / 2;
        self.report.loads.extend(rows.into_iter().nth(middle));
        let probed = median(bare.into_iter());
        let what = "bare prepared SELECT by the lookup, 8 at once, no gRPC";
        self.report.fact(what, probed, "a second");
        let what = format!(
            "cold introspections a second, of bare SELECTs on {}",
            self.ground.database
        );
        let ratio = median(ratios.into_iter());
        self.report.at_least("P4", &what, ratio, 0.6);
        Ok(())
    }

    /// Reads rows by their lookups, and no more; returns how many in a second.
    fn probe(&self, lookups: &[Lookup]) -> Result<f64, BoxError> {
        let duration = self.plan().duration;
        let (done, drawn) = (AtomicU64::new(0), AtomicU64::new(0));
        let most = u64::try_from(lookups.len().max(1))?;
        let took = self.runtime.block_on(async {
            let store = self.ground.open().await?;
            let began = Instant::now();
            let ask = async || -> Result<(), BoxError> {
                while began.elapsed() < duration {
                    let at = mixed(drawn.fetch_add(1, Ordering::Relaxed)) % most;
                    let lookup = lookups.get(usize::try_from(at)?).ok_or("no tokens")?;
                    if !store.probe_lookup(lookup).await? {
                        return Err("wrong answer: a token's lookup is nobody's".into());
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            };
            let asking = (0..AT_ONCE).map(|_| ask()).collect();
            super::super::ground::all(asking).await?;
            let took = began.elapsed();
            store.close().await;
            Ok::<_, BoxError>(took)
        })?;
        Ok(real(done.into_inner()) / took.as_secs_f64())
    }

    /// From a restart until each token has been introspected once.
    pub(super) fn restart(&mut self) -> Result<(), BoxError> {
        let questions = self.questions(TOKENS)?;
        let plan = Plan {
            order: Order::Once,
            pace: Pace::Closed,
            ..self.plan()
        };
        let mut times = Vec::new();
        let mut ran = 0.0;
        for round in 0..self.settings.rounds.unwrap_or(3) {
            let server = self.started(&[])?;
            let [before] = server.metrics([BCRYPT])?;
            let subject = self.of_server("each token once after a restart", &server, plan);
            let began = Instant::now();
            let figures = measured(&subject, &questions)?;
            times.push(server.start.as_secs_f64() + began.elapsed().as_secs_f64());
            let name = subject.name.to_owned();
            let [after] = server.metrics([BCRYPT])?;
            ran += after - before;
            if round == 0 {
                self.report.loads.push(Row { name, figures });
            }
            server.stop()?;
            self.watch.at("rounds measured", round as u64 + 1);
        }
        let what = "seconds from the restart until each token has been introspected once";
        let median = median(times.into_iter());
        self.report.at_most("P6", what, median, 15.0);
        self.report
            .at_most("P6", "runs of bcrypt meanwhile", ran, 0.0);
        Ok(())
    }
}
