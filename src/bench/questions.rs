//! What is asked, encoded before it is, and what must be answered: every answer is held to
//! that.

use prost::Message as _;

use super::population::{Bad, Population, Unplanned};
use crate::pb;

/// A question, by its number: of a token, or of a value that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Of the token of that number.
    Token(u32),
    /// Of the bad value of that number.
    Bad(u32),
}

/// An answer that is not what it must be.
#[derive(Debug, thiserror::Error)]
#[error("wrong answer to {asked}: expected {expected}, got {got}")]
pub(super) struct Wrong {
    asked: String,
    expected: String,
    got: String,
}

/// What an answer of a token must be: so many bytes of this sum, before what varies.
#[derive(Clone, Copy, Debug)]
struct Expected {
    length: u32,
    sum: u64,
}

/// Encoded questions, one after the other.
#[derive(Debug, Default)]
struct Encoded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Encoded {
    fn push(&mut self, message: &pb::IntrospectRequest) {
        // A vector has room for any message.
        let _ = message.encode(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    fn append(&mut self, mut other: Self) {
        let before = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.ends.extend(other.ends.iter().map(|end| before + end));
    }

    fn get(&self, at: u32) -> Option<&[u8]> {
        let at = usize::try_from(at).ok()?;
        let begin = match at.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(begin..*self.ends.get(at)?)
    }
}

/// The questions of a population, and of values that nobody has.
#[derive(Debug)]
pub(super) struct Questions {
    population: Population,
    tokens: Encoded,
    expected: Vec<Expected>,
    bad: Encoded,
    kinds: Vec<Bad>,
}

impl Questions {
    /// Prepares the questions of the first so many tokens.
    pub(super) fn new(population: Population, tokens: u64) -> Result<Self, Unplanned> {
        let middle = tokens / 2;
        let (first, second) = std::thread::scope(|scope| {
            let second = scope.spawn(|| prepare(&population, middle, tokens));
            (prepare(&population, 0, middle), second.join())
        });
        let (mut encoded, mut expected) = first?;
        let (more, and_expected) = second.map_err(|_| Unplanned)??;
        encoded.append(more);
        expected.extend(and_expected);
        Ok(Self {
            population,
            tokens: encoded,
            expected,
            bad: Encoded::default(),
            kinds: Vec::new(),
        })
    }

    /// Adds questions of so many values that are none, evenly of these kinds.
    pub(super) fn with_bad(mut self, kinds: &[Bad], count: u64) -> Result<Self, Unplanned> {
        let tokens = u64::from(self.count()).max(1);
        for (number, kind) in (0..count).zip(kinds.iter().cycle()) {
            let like = number % tokens;
            let value = self.population.bad(*kind, number, like)?;
            let tenant = self.population.tenant_of(like);
            self.bad.push(&Population::question(value, tenant));
            self.kinds.push(*kind);
        }
        Ok(self)
    }

    /// Returns how many tokens there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.expected.len()).unwrap_or(u32::MAX)
    }

    /// Returns how many values there are that are none.
    pub(super) fn count_bad(&self) -> u32 {
        u32::try_from(self.kinds.len()).unwrap_or(u32::MAX)
    }

    /// Returns a question's message.
    pub(super) fn message(&self, asked: Asked) -> Option<&[u8]> {
        match asked {
            Asked::Token(number) => self.tokens.get(number),
            Asked::Bad(number) => self.bad.get(number),
        }
    }

    /// Returns the message of the question of so many tokens at once, from this one on.
    pub(super) fn batch(&self, first: u32, count: u32, message: &mut Vec<u8>) {
        message.clear();
        for number in self.numbers(first, count) {
            let one = self.tokens.get(number).unwrap_or_default();
            message.push(LENGTH_DELIMITED_1);
            prost::encoding::encode_varint(one.len() as u64, message);
            message.extend(one);
        }
    }

    /// Returns the numbers of so many tokens, the first after the last.
    fn numbers(&self, first: u32, count: u32) -> impl Iterator<Item = u32> {
        let most = self.count().max(1);
        (0..count).map(move |number| (first + number) % most)
    }

    /// Holds the answer to so many tokens at once to what it must be.
    pub(super) fn check_batch(
        &self,
        (first, count): (u32, u32),
        mut answer: &[u8],
    ) -> Result<(), Wrong> {
        for number in self.numbers(first, count) {
            let asked = Asked::Token(number);
            let result = delimited(&mut answer);
            let one = result.and_then(|mut result| delimited(&mut result));
            let Some(one) = one else {
                return Err(self.wrong(asked, "no answer in the batch"));
            };
            self.check(asked, one)?;
        }
        if answer.is_empty() {
            return Ok(());
        }
        Err(self.wrong(Asked::Token(first), "more answers than questions"))
    }

    /// Holds an answer to what it must be.
    pub(super) fn check(&self, asked: Asked, answer: &[u8]) -> Result<(), Wrong> {
        let (length, sum) = match asked {
            Asked::Token(number) => {
                let at = usize::try_from(number).unwrap_or(usize::MAX);
                let expected = self.expected.get(at);
                expected.map_or((0, 0), |it| (it.length as usize, it.sum))
            }
            Asked::Bad(_) => (0, sum_of(&[])),
        };
        // What varies comes last, where fields are in their order.
        if let Some((fixed, [0x82, 0x01, ..])) = answer.split_at_checked(length)
            && sum_of(fixed) == sum
        {
            return Ok(());
        }
        // Nobody promised the order of fields.
        let expected = self.answer(asked);
        let got = pb::IntrospectResponse::decode(answer);
        match (&expected, got) {
            (Some(expected), Ok(mut got)) => {
                let dated = got.evaluate_time.take().is_some();
                let revised = !std::mem::take(&mut got.revision).is_empty();
                if got == *expected && dated && revised {
                    return Ok(());
                }
                Err(self.wrong(asked, &format!("{got:?}")))
            }
            (_, got) => Err(self.wrong(asked, &format!("{got:?}"))),
        }
    }

    fn answer(&self, asked: Asked) -> Option<pb::IntrospectResponse> {
        match asked {
            Asked::Token(number) => self.population.answer(number.into()).ok(),
            Asked::Bad(_) => Some(pb::IntrospectResponse::default()),
        }
    }

    /// Returns what is wrong with an answer. It names no value.
    pub(super) fn wrong(&self, asked: Asked, got: &str) -> Wrong {
        let kind = |number| {
            let at = usize::try_from(number).ok();
            at.and_then(|at| self.kinds.get(at))
        };
        Wrong {
            asked: match asked {
                Asked::Token(number) => format!("token {number}"),
                Asked::Bad(number) => format!("bad value {number} ({:?})", kind(number)),
            },
            expected: format!("{:?}", self.answer(asked)),
            got: got.to_owned(),
        }
    }
}

/// Field 1, a message.
const LENGTH_DELIMITED_1: u8 = 0x0a;

/// Prepares the questions and the answers of these tokens.
fn prepare(
    population: &Population,
    first: u64,
    end: u64,
) -> Result<(Encoded, Vec<Expected>), Unplanned> {
    let mut encoded = Encoded::default();
    let mut expected = Vec::new();
    for number in first..end {
        let user = population.user_of(number)?;
        let (_, value) = population.token(number, &user)?;
        let tenant = population.tenant_of(number);
        encoded.push(&Population::question(value.expose(), tenant));
        let answer = population.answer(number)?.encode_to_vec();
        expected.push(Expected {
            length: u32::try_from(answer.len()).map_err(|_| Unplanned)?,
            sum: sum_of(&answer),
        });
    }
    Ok((encoded, expected))
}

/// Takes field 1, a message, from the front.
fn delimited<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let [LENGTH_DELIMITED_1, after @ ..] = *rest else {
        return None;
    };
    let mut after = after;
    let length = prost::encoding::decode_varint(&mut after).ok()?;
    let (message, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(message)
}

/// Returns a sum of 64 bits over some bytes, in a few nanoseconds: no adversary chooses
/// them.
fn sum_of(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    for (place, byte) in last.iter_mut().zip(rest) {
        *place = *byte;
    }
    let mut sum = bytes.len() as u64;
    for word in words.iter().chain([&last]) {
        sum = (sum.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    sum
}
