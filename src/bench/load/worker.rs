//! One thread's part of a load.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{LAST, LoadError, Order, Outcome, PATIENCE, Pace, Plan, Target};
use crate::bench::population::mixed;
use crate::bench::questions::{Asked, Questions};
use crate::bench::wire::{Event, Wire, WireError};

/// What is read at once.
const READ: usize = 64 * 1024;
/// How long after the end calls still begin that were to begin before it.
const OVERDUE: Duration = Duration::from_secs(5);

/// The methods that are called.
const INTROSPECT: &str = "/tokenauthority.v1.IntrospectionService/Introspect";
const BATCH: &str = "/tokenauthority.v1.IntrospectionService/BatchIntrospect";

/// A call that is under way.
#[derive(Clone, Copy, Debug)]
struct Call {
    asked: Asked,
    /// When it was to begin.
    intended: Instant,
}

/// A connection.
#[derive(Debug)]
struct Line {
    stream: TcpStream,
    wire: Wire<Call>,
}

/// One thread's part of the load.
#[derive(Debug)]
pub(super) struct Worker {
    plan: Plan,
    is_noop: bool,
    questions: Arc<Questions>,
    lines: Vec<Line>,
    message: Vec<u8>,
    drawn: u64,
    /// The next token, and the end, where each is asked about once.
    once: (u32, u32),
    /// When the next call is to begin, and how far apart they are, at a rate.
    next: Instant,
    gap: Duration,
    line: usize,
    counted: (Instant, Instant),
    start: Instant,
    /// When the last that counts ended.
    last: Instant,
    outcome: Outcome,
}

impl Worker {
    /// Connects.
    pub(super) fn new(
        plan: &Plan,
        target: &Target,
        questions: &Arc<Questions>,
        number: usize,
        threads: usize,
        start: Instant,
    ) -> Result<Self, LoadError> {
        let path = if plan.batch > 1 { BATCH } else { INTROSPECT };
        let mine = (0..plan.connections).filter(|line| line % threads == number);
        let mut lines = Vec::new();
        for _ in mine {
            let stream = TcpStream::connect(target.address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let authority = target.address.to_string();
            let wire = Wire::new(&authority, path, target.authorization.as_deref());
            lines.push(Line { stream, wire });
        }
        let part = |number: usize| {
            let of = u64::from(questions.count()) * number as u64 / threads as u64;
            u32::try_from(of).unwrap_or(u32::MAX)
        };
        let gap = match plan.pace {
            Pace::Closed => Duration::ZERO,
            Pace::Open(rate) => {
                let all = f64::from(u32::try_from(threads).unwrap_or(1));
                Duration::from_secs_f64(all / rate.max(0.001))
            }
        };
        let begin = match plan.order {
            Order::Random => start + plan.warm_up,
            Order::Once => start,
        };
        // Each thread's calls fall between the others'.
        let share = gap * u32::try_from(number).unwrap_or(0) / u32::try_from(threads).unwrap_or(1);
        Ok(Self {
            plan: *plan,
            is_noop: target.is_noop,
            questions: Arc::clone(questions),
            lines,
            message: Vec::new(),
            drawn: number as u64,
            once: (part(number), part(number + 1)),
            next: start + share,
            gap,
            line: 0,
            counted: (begin, begin + plan.duration),
            start,
            last: start,
            outcome: Outcome::default(),
        })
    }

    /// Asks until the end, and waits for the answers.
    pub(super) fn run(&mut self) -> Result<Outcome, LoadError> {
        let mut buffer = vec![0; READ];
        let mut ready = Vec::new();
        let mut lines = std::mem::take(&mut self.lines);
        let mut ended_at = None;
        loop {
            let now = Instant::now();
            if ended_at.is_none() && self.is_over(now) {
                self.give_up(now);
                ended_at = Some(now);
            }
            if ended_at.is_none() {
                self.ask(&mut lines, now);
            }
            for line in &mut lines {
                line.write()?;
            }
            if let Some(at) = ended_at {
                if lines.iter().all(|line| line.wire.in_flight() == 0) {
                    break;
                }
                if now > at + LAST {
                    return Err(LoadError::Late);
                }
            }
            self.wait(&lines, ended_at.is_some(), &mut ready)?;
            for (line, is_ready) in lines.iter_mut().zip(&ready) {
                if *is_ready {
                    self.read(line, &mut buffer)?;
                }
            }
        }
        let (begin, end) = self.counted;
        self.outcome.elapsed = match self.plan.order {
            Order::Once => self.start.elapsed(),
            // Calls that were under way at the end had longer.
            Order::Random => self.last.saturating_duration_since(begin).max(end - begin),
        };
        Ok(std::mem::take(&mut self.outcome))
    }

    fn is_over(&self, now: Instant) -> bool {
        let end = self.counted.1;
        match (self.plan.order, self.plan.pace) {
            (Order::Once, _) => self.once.0 >= self.once.1,
            (Order::Random, Pace::Closed) => now >= end,
            // Those that were to begin before the end begin after it.
            (Order::Random, Pace::Open(_)) => self.next >= end || now >= end + OVERDUE,
        }
    }

    /// Counts those that were to begin and never did as if they ended now: left out, they
    /// would make a server that does not keep up look well.
    fn give_up(&mut self, now: Instant) {
        let end = self.counted.1;
        if self.plan.order == Order::Random && self.plan.pace != Pace::Closed {
            while self.next < end {
                let asked = self.choose().unwrap_or(Asked::Token(0));
                let intended = self.next;
                self.count(Call { asked, intended }, now);
                self.drawn = self.drawn.wrapping_add(0x9e37_79b9_7f4a_7c15);
                self.next += self.gap;
            }
        }
    }

    /// Begins the calls that are to begin by now.
    fn ask(&mut self, lines: &mut [Line], now: Instant) {
        if self.plan.pace == Pace::Closed {
            for line in lines {
                while line.wire.in_flight() < self.plan.streams && self.call(line, now) {}
            }
            return;
        }
        let mut full = 0;
        while self.next <= now && full < lines.len() {
            self.line = (self.line + 1) % lines.len();
            let intended = self.next;
            let Some(line) = lines.get_mut(self.line) else {
                break;
            };
            if line.wire.in_flight() < self.plan.streams && self.call(line, intended) {
                self.next += self.gap;
                full = 0;
            } else {
                full += 1;
            }
        }
    }

    /// Begins a call, if the connection has room for it and there is one.
    fn call(&mut self, line: &mut Line, intended: Instant) -> bool {
        let Some(asked) = self.choose() else {
            return false;
        };
        let message = match asked {
            Asked::Token(first) if self.plan.batch > 1 => {
                let count = self.batch_of(first);
                self.questions.batch(first, count, &mut self.message);
                &self.message
            }
            Asked::Token(_) | Asked::Bad(_) => self.questions.message(asked).unwrap_or_default(),
        };
        if !line.wire.has_room(message.len()) {
            return false;
        }
        line.wire.call(Call { asked, intended }, message);
        self.drawn = self.drawn.wrapping_add(0x9e37_79b9_7f4a_7c15);
        if let (Order::Once, Asked::Token(first)) = (self.plan.order, asked) {
            self.once.0 = first + self.batch_of(first);
        }
        true
    }

    /// Returns how many tokens a call is about that begins with this one.
    fn batch_of(&self, first: u32) -> u32 {
        match self.plan.order {
            Order::Random => self.plan.batch,
            Order::Once => self.plan.batch.min(self.once.1 - first),
        }
    }

    /// Chooses what is asked next; the same until it was asked.
    fn choose(&self) -> Option<Asked> {
        if self.plan.order == Order::Once {
            return (self.once.0 < self.once.1).then_some(Asked::Token(self.once.0));
        }
        let drawn = mixed(self.drawn);
        let (draw, share) = (drawn >> 20, drawn % 1000);
        let one_of = |count: u32| u32::try_from(draw % u64::from(count.max(1))).unwrap_or(0);
        Some(if share < u64::from(self.plan.bad_permille) {
            Asked::Bad(one_of(self.questions.count_bad()))
        } else {
            Asked::Token(one_of(self.questions.count()))
        })
    }

    /// Waits until there is something to read, or a call to begin; notes where.
    fn wait(&self, lines: &[Line], ended: bool, ready: &mut Vec<bool>) -> Result<(), LoadError> {
        let mut patience = PATIENCE;
        if !ended && self.plan.pace != Pace::Closed {
            patience = patience.min(self.next.saturating_duration_since(Instant::now()));
        }
        let mut waiting: Vec<PollFd<'_>> = lines
            .iter()
            .map(|line| {
                let mut flags = PollFlags::IN;
                if !line.wire.out.is_empty() {
                    flags |= PollFlags::OUT;
                }
                PollFd::new(&line.stream, flags)
            })
            .collect();
        let patience = Timespec::try_from(patience).ok();
        match poll(&mut waiting, patience.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        ready.clear();
        // Also what went wrong is told to who reads.
        ready.extend(
            waiting
                .iter()
                .map(|line| !(line.revents() - PollFlags::OUT).is_empty()),
        );
        Ok(())
    }

    /// Reads what has come, and holds it to what it must be.
    fn read(&mut self, line: &mut Line, buffer: &mut [u8]) -> Result<(), LoadError> {
        loop {
            let length = match line.stream.read(buffer) {
                Ok(0) => return Err(WireError::Closed.into()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let whole = length == buffer.len();
            let read = buffer.get(..length).unwrap_or_default();
            let now = Instant::now();
            line.wire.receive(read, |event| match event {
                Event::Message(call, message) => self.check(call.asked, message),
                Event::Ended(call) => {
                    self.count(call, now);
                    Ok(())
                }
            })?;
            if !whole {
                return Ok(());
            }
        }
    }

    fn check(&self, asked: Asked, message: &[u8]) -> Result<(), LoadError> {
        match asked {
            _ if self.is_noop => self.questions.check(Asked::Token(0), message)?,
            Asked::Token(first) if self.plan.batch > 1 => {
                // Of those that were asked once, the last batch is shorter.
                let count = match self.plan.order {
                    Order::Random => self.plan.batch,
                    Order::Once => self.plan.batch.min(self.once.1 - first),
                };
                self.questions.check_batch((first, count), message)?;
            }
            Asked::Token(_) | Asked::Bad(_) => self.questions.check(asked, message)?,
        }
        Ok(())
    }

    fn count(&mut self, call: Call, now: Instant) {
        let (begin, end) = self.counted;
        let counts = match (self.plan.order, self.plan.pace) {
            (Order::Once, _) => true,
            // Also those that are under way at the end: however slow a server is, it is told of.
            (Order::Random, Pace::Closed) => now >= begin,
            // By when it was to begin: what is late at the end is late all the same.
            (Order::Random, Pace::Open(_)) => call.intended >= begin && call.intended < end,
        };
        if !counts {
            return;
        }
        self.last = self.last.max(now);
        let taken = now.saturating_duration_since(call.intended);
        self.outcome.calls += 1;
        match call.asked {
            Asked::Token(first) => {
                self.outcome.answers += u64::from(self.batch_of(first));
                self.outcome.good.add(taken);
            }
            Asked::Bad(_) => {
                self.outcome.answers += 1;
                self.outcome.bad.add(taken);
            }
        }
    }
}

impl Line {
    /// Writes what there is to write, as far as the connection takes it.
    fn write(&mut self) -> Result<(), LoadError> {
        let mut written = 0;
        while let Some(rest @ [_, ..]) = self.wire.out.get(written..) {
            match self.stream.write(rest) {
                Ok(length) => written += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.wire.out.drain(..written);
        Ok(())
    }
}
