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

impl Expected {
    fn of(answer: &pb::IntrospectResponse) -> Self {
        let answer = answer.encode_to_vec();
        Self {
            length: u32::try_from(answer.len()).unwrap_or(u32::MAX),
            sum: sum_of(&answer),
        }
    }
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

/// Where it is known from what must be answered.
#[derive(Debug)]
enum Source {
    /// It was planned.
    Planned(Population),
    /// It was answered once.
    Learned(Vec<pb::IntrospectResponse>),
}

/// The questions of a population, and of values that nobody has.
#[derive(Debug)]
pub(super) struct Questions {
    source: Source,
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
            source: Source::Planned(population),
            tokens: encoded,
            expected,
            bad: Encoded::default(),
            kinds: Vec::new(),
        })
    }

    /// Prepares these questions, which are to be answered so again.
    pub(super) fn learned(learned: Vec<(pb::IntrospectRequest, pb::IntrospectResponse)>) -> Self {
        let (mut tokens, mut expected) = (Encoded::default(), Vec::new());
        let mut answers = Vec::new();
        for (question, mut answer) in learned {
            answer.revision.clear();
            answer.evaluate_time = None;
            tokens.push(&question);
            expected.push(Expected::of(&answer));
            answers.push(answer);
        }
        Self {
            source: Source::Learned(answers),
            tokens,
            expected,
            bad: Encoded::default(),
            kinds: Vec::new(),
        }
    }

    /// Adds questions of so many values that are none, evenly of these kinds.
    pub(super) fn with_bad(mut self, kinds: &[Bad], count: u64) -> Result<Self, Unplanned> {
        let tokens = u64::from(self.count()).max(1);
        let Source::Planned(population) = &self.source else {
            return Err(Unplanned);
        };
        for (number, kind) in (0..count).zip(kinds.iter().cycle()) {
            let like = number % tokens;
            let value = population.bad(*kind, number, like)?;
            let tenant = population.tenant_of(like);
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
        if let Some((fixed, [0x82, 0x01, revision, rest @ ..])) = answer.split_at_checked(length)
            && let Some([0x8a, 0x01, ..]) = rest.get(usize::from(*revision)..)
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
            Asked::Token(number) => match &self.source {
                Source::Planned(population) => population.answer(number.into()).ok(),
                Source::Learned(answers) => answers.get(usize::try_from(number).ok()?).cloned(),
            },
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
        expected.push(Expected::of(&population.answer(number)?));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn questions() -> Questions {
        let now = Timestamp::from_millis(1_800_000_000_000).unwrap();
        let population = Population::new(1, 2, now).unwrap();
        let questions = Questions::new(population, 30).unwrap();
        questions.with_bad(&[Bad::Unknown], 5).unwrap()
    }

    fn right(questions: &Questions, asked: Asked) -> pb::IntrospectResponse {
        let mut answer = questions.answer(asked).unwrap();
        answer.revision = String::from("r.1");
        answer.evaluate_time = Some(prost_types::Timestamp::default());
        answer
    }

    #[test]
    fn a_right_answer_passes_whatever_the_order_of_its_fields() {
        let questions = questions();
        for asked in [Asked::Token(0), Asked::Token(29), Asked::Bad(4)] {
            let answer = right(&questions, asked);
            questions.check(asked, &answer.encode_to_vec()).unwrap();
            let varies = pb::IntrospectResponse {
                revision: answer.revision.clone(),
                evaluate_time: answer.evaluate_time,
                ..Default::default()
            };
            let mut moved = varies.encode_to_vec();
            moved.extend(questions.answer(asked).unwrap().encode_to_vec());
            questions.check(asked, &moved).unwrap();
        }
    }

    #[test]
    fn whatever_is_wrong_in_an_answer_is_told() {
        let questions = questions();
        let alterations: [fn(&mut pb::IntrospectResponse); 9] = [
            |answer| answer.allowed = false,
            |answer| answer.active = false,
            |answer| answer.token_id.push('x'),
            |answer| answer.tenant_id.clear(),
            |answer| answer.user_id.push('x'),
            |answer| drop(answer.scopes.pop()),
            |answer| answer.expire_time = Some(prost_types::Timestamp::default()),
            |answer| answer.revision.clear(),
            |answer| answer.evaluate_time = None,
        ];
        for (at, alter) in alterations.into_iter().enumerate() {
            let mut answer = right(&questions, Asked::Token(3));
            alter(&mut answer);
            let wrong = questions.check(Asked::Token(3), &answer.encode_to_vec());
            let told = wrong.expect_err(&format!("alteration {at}")).to_string();
            assert!(
                told.starts_with("wrong answer to token 3: expected "),
                "{told}"
            );
        }
        // Another token's, and that of a token where none is.
        let other = right(&questions, Asked::Token(4)).encode_to_vec();
        assert!(questions.check(Asked::Token(3), &other).is_err());
        assert!(questions.check(Asked::Bad(0), &other).is_err());
        let none = right(&questions, Asked::Bad(0)).encode_to_vec();
        assert!(questions.check(Asked::Token(3), &none).is_err());
        assert!(questions.check(Asked::Token(3), b"\xff").is_err());
    }

    #[test]
    fn a_batch_has_each_answer_in_its_place_and_no_more() {
        let questions = questions();
        let answers = |numbers: &[u32]| {
            let results = numbers.iter().map(|number| pb::BatchIntrospectResult {
                result: Some(pb::batch_introspect_result::Result::Response(right(
                    &questions,
                    Asked::Token(*number),
                ))),
            });
            let results = results.collect();
            pb::BatchIntrospectResponse { results }.encode_to_vec()
        };
        let check = |numbers| questions.check_batch((28, 4), &answers(numbers));
        check(&[28, 29, 0, 1]).unwrap();
        for wrong in [&[28, 29, 1, 0][..], &[28, 29, 0], &[28, 29, 0, 1, 2]] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
        let mut message = Vec::new();
        questions.batch(28, 4, &mut message);
        let asked = pb::BatchIntrospectRequest::decode(&*message).unwrap();
        let one = questions.message(Asked::Token(29)).unwrap();
        assert_eq!(asked.requests.len(), 4);
        assert_eq!(asked.requests[1].encode_to_vec(), one);
    }

    #[test]
    fn what_was_learned_is_held_to() {
        let planned = questions();
        let answer = right(&planned, Asked::Token(7));
        let question = pb::IntrospectRequest::default();
        let learned = Questions::learned(vec![(question, answer.clone())]);
        let mut later = answer.clone();
        later.revision = String::from("r.2");
        let check = |answer: &pb::IntrospectResponse| {
            learned.check(Asked::Token(0), &answer.encode_to_vec())
        };
        check(&later).unwrap();
        later.allowed = false;
        assert!(check(&later).is_err());
    }
}
