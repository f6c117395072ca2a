//! Instructions and allocations, which don't drift: of a hot introspection, and of a call that
//! does nothing.

use std::collections::HashMap;
use std::path::Path;

use super::super::ground::variable;
use super::super::load::{self, Order, Pace, Plan, Target};
use super::{Bench, Process, of_noop};
use crate::app::BoxError;

/// How many calls are counted where nothing else is said.
const CALLS: u64 = 2000;

/// What the program calls to be given memory: by mimalloc, and without it.
const ALLOCATORS: [&str; 6] = [
    "mi_malloc_aligned",
    "mi_zalloc_aligned",
    "mi_realloc_aligned",
    "malloc",
    "calloc",
    "realloc",
];

/// What valgrind counted of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counts {
    instructions: f64,
    allocations: f64,
}

impl Counts {
    /// Returns what each of `calls` added to another run.
    fn each_beyond(self, less: Self, calls: f64) -> Self {
        Self {
            instructions: (self.instructions - less.instructions) / calls,
            allocations: (self.allocations - less.allocations) / calls,
        }
    }
}

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
                totals.push(counts(&std::fs::read_to_string(&report)?)?);
                self.watch.at("runs counted", passes);
            }
            if let [less, more] = totals[..] {
                of_call.push(more.each_beyond(less, calls));
            }
        }
        if let [hot, noop] = of_call[..] {
            for (name, counts) in [("a hot introspection", hot), ("a call of the no-op", noop)] {
                let (instructions, allocations) = (counts.instructions, counts.allocations);
                self.report.fact(name, instructions, "instructions");
                let name = format!("allocations of {name}");
                self.report.fact(name, allocations, "a call");
            }
            let own = hot.instructions - noop.instructions;
            self.report
                .fact("the introspection's own", own, "instructions");
            let times = hot.instructions / noop.instructions;
            self.report
                .fact("a hot introspection, of the no-op's", times, "times");
            let more = hot.allocations - noop.allocations;
            let what = "allocations of a hot introspection beyond those of the no-op's call";
            self.report.at_most("P11", what, more, 2.0);
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

/// Reads a report: the sum that it ends with, and how often memory was asked for. A name is
/// written out where it first stands, as `(12) name`, and is its number from then on.
fn counts(report: &str) -> Result<Counts, BoxError> {
    let (mut instructions, mut allocations) = (None, 0.0);
    let mut names = HashMap::new();
    let mut allocates = false;
    for line in report.lines() {
        let Some((key, value)) = line.split_once(['=', ' ']) else {
            continue;
        };
        match key {
            "fn" | "cfn" => {
                let (number, name) = value.split_once(' ').unwrap_or((value, ""));
                if !name.is_empty() {
                    names.insert(number, ALLOCATORS.contains(&name));
                }
                if key == "cfn" {
                    allocates = names.get(number).copied().unwrap_or_default();
                }
            }
            "calls" if allocates => {
                let count = value.split(' ').next().unwrap_or_default();
                allocations += count.parse::<f64>()?;
            }
            "totals:" => instructions = Some(value.trim().parse()?),
            _ => {}
        }
    }
    Ok(Counts {
        instructions: instructions.ok_or("valgrind told no sum")?,
        allocations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_allocators_are_counted_by_their_names_and_numbers() {
        let report = "\
version: 1
fn=(1) main
5 10
cfn=(2) mi_malloc_aligned
calls=3 7
5 30
cfn=(3) mi_theap_malloc_aligned
calls=100 8
5 30
fn=(4) serve
cfn=(2)
calls=4 7
6 40
cfn=(5) calloc
calls=1 0
6 2
totals: 112
";
        let counts = counts(report).unwrap();
        assert_eq!((counts.instructions, counts.allocations), (112.0, 8.0));
        assert!(super::counts("fn=(1) main\n").is_err());
    }
}
