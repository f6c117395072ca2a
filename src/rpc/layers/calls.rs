//! What calls come to: how many began, how each ended and how long it took. Costs a
//! call two readings of the clock and a few additions to its thread's own numbers.

use std::sync::Arc;
use std::time::Instant;

use http::Response;
use tonic::Code;
use tonic::body::Body;

use super::ending::bare_code;
use crate::authority::access::Rpc;
use crate::rpc::status::code_name;
use crate::tally::{Closed, Counter, Distribution, Each, Stripe, Striped, Times};

/// What is called. A path that nobody serves is one of them, whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// An RPC of ours.
    Rpc(Rpc),
    /// Health.
    Health,
    /// Reflection.
    Reflection,
    /// What nobody serves.
    Unknown,
}

impl Method {
    fn of(path: &str) -> Self {
        match Rpc::from_path(path) {
            Some(rpc) => Self::Rpc(rpc),
            None if path.starts_with("/grpc.health.") => Self::Health,
            None if path.starts_with("/grpc.reflection.") => Self::Reflection,
            None => Self::Unknown,
        }
    }
}

impl Closed for Method {
    const COUNT: usize = Rpc::COUNT + 3;

    fn all() -> impl Iterator<Item = Self> {
        let others = [Self::Health, Self::Reflection, Self::Unknown];
        Rpc::all().map(Self::Rpc).chain(others)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rpc(rpc) => rpc.name(),
            Self::Health => "health",
            Self::Reflection => "reflection",
            Self::Unknown => "unknown",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Rpc(rpc) => rpc.place(),
            Self::Health => Rpc::COUNT,
            Self::Reflection => Rpc::COUNT + 1,
            Self::Unknown => Rpc::COUNT + 2,
        }
    }
}

impl Closed for Code {
    const COUNT: usize = 17;

    fn all() -> impl Iterator<Item = Self> {
        (0..17).map(Self::from_i32)
    }

    fn name(self) -> &'static str {
        code_name(self)
    }

    fn place(self) -> usize {
        self as usize
    }
}

/// The numbers of one RPC.
#[derive(Debug, Default)]
struct Numbers {
    began: Counter,
    ended: Each<Code, { Code::COUNT }>,
    took: Times,
}

type Stripes = Striped<Each<Method, { Method::COUNT }, Numbers>>;

/// What all calls of a server came to.
#[derive(Debug, Default)]
pub struct Calls(Stripes);

impl Calls {
    /// Notes that a call begins, by its path.
    pub(super) fn begin(&self, path: &str) -> Running {
        let running = Running {
            numbers: Arc::clone(self.0.mine()),
            method: Method::of(path),
            began_at: Instant::now(),
            // Unless it is answered: its caller went away, and it is dropped.
            code: Code::Cancelled,
        };
        if let Some(numbers) = running.numbers.of(running.method) {
            numbers.began.add(1);
        }
        running
    }

    /// Notes a call that began then and has ended well already.
    pub(super) fn answered_at_once(&self, rpc: Rpc, began: Instant) {
        if let Some(numbers) = self.0.mine().of(Method::Rpc(rpc)) {
            numbers.began.add(1);
            numbers.took.observe(began.elapsed());
            numbers.ended.tick(Code::Ok);
        }
    }

    /// Returns how many calls ended with a code.
    fn ended(&self, method: Method, code: Code) -> u64 {
        let of = |numbers: &Numbers| numbers.ended.get(code);
        self.0.sum(|each| each.of(method).map_or(0, of))
    }

    /// Returns how many calls of each method ended with each code, by its name.
    pub fn all_ended(&self) -> impl Iterator<Item = (Method, &'static str, u64)> {
        Method::all().flat_map(move |method| {
            Code::all().map(move |code| (method, code.name(), self.ended(method, code)))
        })
    }

    /// Returns the names of all codes.
    pub fn codes() -> impl Iterator<Item = &'static str> {
        Code::all().map(Closed::name)
    }

    /// Returns how long calls took.
    pub fn took(&self, method: Method) -> Distribution {
        self.0.read(|each| {
            each.of(method)
                .map(|one| one.took.read())
                .unwrap_or_default()
        })
    }

    /// Returns how many calls of our RPCs have begun and not ended.
    pub fn in_flight(&self) -> u64 {
        Rpc::all().map(|rpc| self.running(Method::Rpc(rpc))).sum()
    }

    /// Returns how many calls have begun and not ended.
    pub fn running(&self, method: Method) -> u64 {
        // First those that ended: none of them is missing among those that began.
        let ended: u64 = Code::all().map(|code| self.ended(method, code)).sum();
        let began = |numbers: &Numbers| numbers.began.get();
        let began = self.0.sum(|each| each.of(method).map_or(0, began));
        began.saturating_sub(ended)
    }
}

/// A call that has begun. Dropped, it has ended.
#[derive(Debug)]
pub(super) struct Running {
    numbers: Arc<Stripe<Each<Method, { Method::COUNT }, Numbers>>>,
    method: Method,
    began_at: Instant,
    code: Code,
}

impl Running {
    /// Notes what the call was answered.
    pub(super) fn answered(mut self, response: &Response<Body>) {
        self.code = bare_code(response);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(numbers) = self.numbers.of(self.method) {
            numbers.took.observe(self.began_at.elapsed());
            numbers.ended.tick(self.code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_and_every_code_has_a_place_of_its_own() {
        let methods: Vec<_> = Method::all().map(Closed::place).collect();
        assert_eq!(methods, (0..Method::COUNT).collect::<Vec<_>>());
        let codes: Vec<_> = Code::all().map(Closed::place).collect();
        assert_eq!(codes, (0..Code::COUNT).collect::<Vec<_>>());
        assert_eq!(Code::from_i32(17), Code::Unknown, "there is a new code");
    }

    #[test]
    fn a_call_ends_once_as_it_was_answered_or_as_cancelled() {
        let calls = Calls::default();
        let method = Method::Rpc(Rpc::Introspect);
        let first = calls.begin(Rpc::Introspect.path());
        let second = calls.begin(Rpc::Introspect.path());
        assert_eq!(calls.running(method), 2);
        let mut refused = Response::new(Body::empty());
        refused.headers_mut().insert("grpc-status", 8.into());
        first.answered(&refused);
        drop(second);
        assert_eq!(calls.ended(method, Code::ResourceExhausted), 1);
        assert_eq!(calls.ended(method, Code::Cancelled), 1);
        assert_eq!((calls.running(method), calls.took(method).count()), (0, 2));
        calls
            .begin("/a.value.gone/astray")
            .answered(&Response::new(Body::empty()));
        assert_eq!(calls.ended(Method::Unknown, Code::Ok), 1);
        let mut bare = Response::new(Body::empty());
        *bare.status_mut() = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
        calls.begin("/a.value.gone/astray").answered(&bare);
        assert_eq!(calls.ended(Method::Unknown, Code::Unknown), 1);
    }

    /// Prints what it costs to count a call: `cargo test --release --lib
    /// cost_of_counting -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn cost_of_counting_a_call() {
        const CALLS: u32 = 10_000_000;
        let calls = Calls::default();
        let answer = Response::new(Body::empty());
        let began = Instant::now();
        for _ in 0..CALLS {
            calls.begin(Rpc::Introspect.path()).answered(&answer);
        }
        let took = began.elapsed();
        println!(
            "{:.1} ns a call",
            took.as_secs_f64() * 1e9 / f64::from(CALLS)
        );
    }
}
