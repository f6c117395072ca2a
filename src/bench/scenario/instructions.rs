//! Instructions, which don't drift: of a hot introspection, and of a call that does nothing.

use std::path::Path;

use super::super::ground::variable;
use super::super::load::{self, Order, Pace, Plan, Target};
use super::{Bench, Process, of_noop};
use crate::app::BoxError;

/// How many calls are counted where nothing else is said.
const CALLS: u64 = 2000;

/// Which process is counted.
#[derive(Clone, Copy, Debug)]
enum Counted {
    Server,
    Noop,
}

impl Bench<'_> {
    /// Counts by valgrind. A process is run twice, and asked for each token once more the
    /// second time: what that adds is the calls' alone.
    pub(super) fn instructions(&mut self) -> Result<(), BoxError> {
        let questions = self.questions(CALLS)?;
        let calls = f64::from(questions.count().max(1));
        let mut of_call = Vec::new();
        for counted in [Counted::Server, Counted::Noop] {
            let mut totals = Vec::new();
            for passes in [2, 3] {
                let report = self.ground.place("callgrind.out");
                self.ground.under = callgrind(&report);
                let process = self.counted(counted)?;
                self.ground.under.clear();
                let target = self.target(counted, &process);
                for _ in 0..passes {
                    load::run(&self.one_by_one(), &target, &questions, || ())?;
                }
                process.stop()?;
                totals.push(total(&report)?);
                self.watch.at("runs counted", passes);
            }
            if let [less, more] = totals[..] {
                of_call.push((more - less) / calls);
            }
        }
        if let [hot, noop] = of_call[..] {
            let unit = "instructions";
            self.report.fact("a hot introspection", hot, unit);
            self.report.fact("a call of the no-op", noop, unit);
            self.report
                .fact("the introspection's own", hot - noop, unit);
            self.report
                .fact("a hot introspection, of the no-op's", hot / noop, "times");
        }
        Ok(())
    }

    /// Starts what is counted, on one thread: how several meet differs from run to run.
    fn counted(&mut self, counted: Counted) -> Result<Process, BoxError> {
        let one = (String::from("TOKIO_WORKER_THREADS"), String::from("1"));
        match counted {
            Counted::Server => {
                let mut variables = vec![one];
                let cores = variable("server.cores", "1");
                if self.ground.knows(std::slice::from_ref(&cores)) {
                    variables.push(cores);
                }
                self.started(&variables)
            }
            Counted::Noop => self.ground.noop(self.settings.layout, 1),
        }
    }

    fn target(&self, counted: Counted, process: &Process) -> Target {
        match counted {
            Counted::Server => self.of_server("", process, self.plan()).target,
            Counted::Noop => of_noop("", process, self.plan()).target,
        }
    }

    fn one_by_one(&self) -> Plan {
        Plan {
            connections: 1,
            order: Order::Once,
            pace: Pace::Closed,
            ..self.plan()
        }
    }
}

/// Returns the words that count what follows them.
fn callgrind(report: &Path) -> Vec<String> {
    let file = format!("--callgrind-out-file={}", report.display());
    let words = ["valgrind", "--tool=callgrind", "--fair-sched=yes", &file];
    words.map(String::from).to_vec()
}

/// Returns the sum that a report ends with.
fn total(report: &Path) -> Result<f64, BoxError> {
    let text = std::fs::read_to_string(report)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(total.ok_or("valgrind told no sum")?.trim().parse()?)
}
