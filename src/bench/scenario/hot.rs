//! Tokens that were introspected before, against the service that does nothing.

use std::time::{Duration, Instant};

use super::super::churn::{Churn, Client, Creates, told};
use super::super::load::{Pace, Plan};
use super::super::noop::Layout;
use super::{Bench, MILLION, TOKENS, median, of_noop, ratio};
use crate::app::BoxError;
use crate::pb;

/// Tokens on a page, and the page that is held against the first.
const PAGE: i32 = 50;
const PAGES: usize = 1000;
/// How often a page is asked for.
const ASKED: usize = 31;
/// How often it is tried what a server sustains, and for how long each time.
const PROBES: usize = 7;
const PROBE: Duration = Duration::from_secs(1);
/// A rate is sustained where so much of it is answered in time, and the p99, in µs, is less.
const SUSTAINED: f64 = 0.99;
const LATE_US: f64 = 10_000.0;

impl Bench<'_> {
    /// The load that the flags describe, beside the no-op's.
    pub(super) fn load(&mut self) -> Result<(), BoxError> {
        let questions = self.questions(TOKENS)?;
        let server = self.server(&questions)?;
        let settings = self.settings;
        let noop = self.ground.noop(settings.layout, settings.cores)?;
        let plan = self.plan();
        let of_one = Plan {
            batch: 1,
            bad_permille: 0,
            ..plan
        };
        let churn = if settings.creates == Creates::None {
            None
        } else {
            let client = self.client(server.address)?;
            let revokes = settings.revokes_per_second;
            Some(Churn::start(
                &self.runtime,
                &client,
                settings.creates,
                revokes,
            ))
        };
        let subjects = [
            self.of_server("introspection", &server, plan),
            of_noop("no-op", &noop, of_one),
        ];
        let found = self.rounds(&questions, &subjects)?;
        if let Some(churn) = churn {
            self.tell_churn(churn)?;
        }
        self.tell(&found);
        let calls = ratio(&found, (0, 1), |figures| figures.calls_per_second);
        self.report
            .fact("calls a second, of the no-op's", calls, "times");
        server.stop()
    }

    /// Hot tokens against no-ops, each with its row of the budget.
    pub(super) fn hot(
        &mut self,
        tokens: u64,
        held: &[(&'static str, Layout, f64)],
    ) -> Result<(), BoxError> {
        let questions = self.questions(tokens)?;
        let server = self.server(&questions)?;
        let plan = self.plan();
        let mut noops = Vec::new();
        for (row, layout, bar) in held {
            let noop = self.ground.noop(*layout, self.settings.cores)?;
            let name = match layout {
                Layout::PerCore => "no-op, a runtime for each core",
                Layout::Shared => "no-op, one runtime",
            };
            noops.push((noop, name, *row, *bar));
        }
        let mut subjects = vec![self.of_server("hot introspection", &server, plan)];
        for (noop, name, ..) in &noops {
            subjects.push(of_noop(name, noop, plan));
        }
        let found = self.rounds(&questions, &subjects)?;
        self.tell(&found);
        for (at, (_, name, row, bar)) in noops.iter().enumerate() {
            let calls = ratio(&found, (0, at + 1), |figures| figures.calls_per_second);
            let what = format!("hot introspections a second, of {name}");
            self.report.at_least(row, &what, calls, *bar);
            let cpu = ratio(&found, (0, at + 1), |figures| {
                figures.server_cpu_us.unwrap_or(f64::NAN)
            });
            let what = format!("processor time of a call, of {name}");
            self.report.fact(what, cpu, "times");
        }
        server.stop()
    }

    /// Hot tokens, many in a call.
    pub(super) fn batch(&mut self) -> Result<(), BoxError> {
        let questions = self.questions(TOKENS)?;
        let server = self.server(&questions)?;
        let plan = Plan {
            batch: self.settings.batch.unwrap_or(100),
            streams: self.settings.streams.unwrap_or(4),
            ..self.plan()
        };
        let subject = self.of_server("hot introspection in batches", &server, plan);
        let found = self.rounds(&questions, &[subject])?;
        self.tell(&found);
        let rounds = found.iter().flat_map(|(_, rounds)| rounds);
        let answers = median(rounds.map(|figures| figures.answers_per_second));
        let what = "tokens a second, the client on the same cores";
        self.report.at_least("P3", what, answers, 700_000.0);
        server.stop()
    }

    /// What a token takes in memory.
    pub(super) fn memory(&mut self) -> Result<(), BoxError> {
        let questions = self.questions(MILLION)?;
        let server = self.server(&questions)?;
        let each = self.report.facts.iter().rev();
        let each = each
            .clone()
            .find(|fact| fact.name.starts_with("memory more"));
        let each = each.map_or(f64::NAN, |fact| fact.value);
        let what = "bytes more for each token that was introspected once";
        self.report.at_most("P5", what, each, 400.0);
        server.stop()
    }

    /// A few tokens against many; the first page of a list against a late one.
    pub(super) fn growth(&mut self) -> Result<(), BoxError> {
        let many = self.settings.tokens.unwrap_or(MILLION);
        let few = (many / 1000).max(10);
        let mut of_noop_s = Vec::new();
        for tokens in [few, many] {
            self.fill(tokens)?;
            let questions = self.prepared()?;
            let server = self.server(&questions)?;
            let noop = self
                .ground
                .noop(self.settings.layout, self.settings.cores)?;
            let (plan, name) = (self.plan(), format!("hot, of {tokens} tokens"));
            let subjects = [
                self.of_server(&name, &server, plan),
                of_noop("no-op", &noop, plan),
            ];
            let found = self.rounds(&questions, &subjects)?;
            of_noop_s.push(ratio(&found, (0, 1), |figures| figures.calls_per_second));
            self.tell(&found);
            if tokens == many {
                self.pages(server.address)?;
            }
            server.stop()?;
        }
        if let [few, many] = of_noop_s[..] {
            let what =
                "hot introspections a second of many tokens, of those of few, each of a no-op's";
            self.report.at_least("P10", what, many / few, 0.8);
        }
        Ok(())
    }

    /// Asks for the first page of a tenant's tokens, and for a late one.
    fn pages(&mut self, address: std::net::SocketAddr) -> Result<(), BoxError> {
        let client = self.client(address)?;
        let asked = |page_token: String| pb::ListTokensRequest {
            tenant_id: String::from("bench-0"),
            kind: pb::TokenKind::Api.into(),
            page_size: PAGE,
            page_token,
            ..Default::default()
        };
        let list = |page_token: String| {
            let listed = async {
                let request = client.request(asked(page_token));
                client.tokens().list_tokens(request).await
            };
            let began = Instant::now();
            let page = self.runtime.block_on(listed);
            let page = page.map_err(|status| told("ListTokens", &status))?;
            Ok::<_, BoxError>((page.into_inner(), began.elapsed()))
        };
        let mut late = String::new();
        let mut pages = 1;
        while pages < PAGES {
            let (page, _) = list(late.clone())?;
            if page.next_page_token.is_empty() {
                break;
            }
            late = page.next_page_token;
            pages += 1;
        }
        let mut took = Vec::new();
        for page_token in [String::new(), late] {
            let mut times = Vec::new();
            for _ in 0..ASKED {
                times.push(list(page_token.clone())?.1.as_secs_f64() * 1000.0);
            }
            took.push(median(times.into_iter()));
        }
        if let [first, late] = took[..] {
            self.report.fact("page 1 of ListTokens", first, "ms");
            let what = format!("page {pages} of ListTokens");
            self.report.fact(what, late, "ms");
            let what = "the late page's time, of the first's";
            self.report.at_most("P10", what, late / first, 10.0);
        }
        Ok(())
    }

    /// Connects as the operator.
    pub(super) fn client(&self, address: std::net::SocketAddr) -> Result<Client, BoxError> {
        let population = self.ground.population.clone();
        let (operator, tokens) = (&self.ground.operator, self.ground.seeded);
        let client = Client::connect(address, operator, population, tokens);
        self.runtime.block_on(client)
    }

    /// Ends what went on beside, and tells of it.
    pub(super) fn tell_churn(&mut self, churn: Churn) -> Result<(), BoxError> {
        let (created, revoked) = churn.stop(&self.runtime)?;
        self.report
            .fact("tokens created beside", created, "a second");
        self.report
            .fact("tokens revoked beside", revoked, "a second");
        Ok(())
    }

    /// Returns half the calls a second that a server sustains: what it answers at most to
    /// those who wait for each answer is more than it takes of those who don't.
    pub(super) fn half(
        &self,
        server: &super::Process,
        questions: &std::sync::Arc<super::Questions>,
    ) -> Result<f64, BoxError> {
        if let Some(rate) = self.settings.rate {
            return Ok(rate);
        }
        let closed = Plan {
            pace: Pace::Closed,
            bad_permille: 0,
            ..self.plan()
        };
        let most = super::measured(&self.of_server("", server, closed), questions)?;
        let most = most.calls_per_second;
        // What is sustained, and what is not.
        let (mut low, mut high) = (0.0, most);
        let mut rate = most / 4.0;
        for _ in 0..PROBES {
            let plan = Plan {
                pace: Pace::Open(rate),
                duration: PROBE.min(closed.duration),
                ..closed
            };
            let figures = super::measured(&self.of_server("", server, plan), questions)?;
            if figures.calls_per_second >= rate * SUSTAINED && figures.latency.p99 < LATE_US {
                low = rate;
            } else {
                high = rate;
            }
            rate = f64::midpoint(low, high);
        }
        // A server that sustains nothing that was tried is told at the least that was.
        Ok(if low > 0.0 { low } else { high } / 2.0)
    }
}
