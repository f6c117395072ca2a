//! The answer to an introspection, as bytes: written from what is kept, without a message
//! and its dozen texts in between. Protobuf's encoding:
//! <https://protobuf.dev/programming-guides/encoding/>.

use prost::bytes::{BufMut as _, BytesMut};

use super::convert::outward;
use crate::authority::introspect::{Active, Answer};
use crate::domain::ids::TokenId;
use crate::domain::time::Timestamp;

/// What follows a field's number: a variable-length number, or so many bytes.
const VARINT: u64 = 0;
const BYTES: u64 = 2;

fn varint(mut number: u64, out: &mut BytesMut) {
    while number >= 0x80 {
        // The seven lowest bits, and that more follow.
        out.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8((number & 0x7f) as u8);
}

/// Returns how many bytes a number takes.
fn width(number: u64) -> u64 {
    u64::from((70 - (number | 1).leading_zeros()) / 7)
}

fn number(field: u64, number: u64, out: &mut BytesMut) {
    // What is zero is not sent.
    if number != 0 {
        varint(field << 3 | VARINT, out);
        varint(number, out);
    }
}

fn bytes(field: u64, bytes: &[u8], out: &mut BytesMut) {
    varint(field << 3 | BYTES, out);
    varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}

fn text(field: u64, text: &str, out: &mut BytesMut) {
    if !text.is_empty() {
        bytes(field, text.as_bytes(), out);
    }
}

fn time(field: u64, at: Timestamp, out: &mut BytesMut) {
    let (seconds, nanos) = at.parts();
    // Neither is negative.
    let (seconds, nanos) = (seconds.cast_unsigned(), u64::from(nanos.cast_unsigned()));
    let part = |number| if number == 0 { 0 } else { 1 + width(number) };
    varint(field << 3 | BYTES, out);
    varint(part(seconds) + part(nanos), out);
    number_pair(seconds, nanos, out);
}

fn number_pair(first: u64, second: u64, out: &mut BytesMut) {
    number(1, first, out);
    number(2, second, out);
}

/// Writes an `IntrospectResponse`.
pub(super) fn write(answer: &Answer<'_>, out: &mut BytesMut) {
    if let Some(active) = &answer.active {
        write_active(active, out);
    }
    let mut digits = [0; 20];
    let digits = decimal(answer.number.0, &mut digits);
    let length = answer.incarnation.len() + 1 + digits.len();
    varint(16 << 3 | BYTES, out);
    varint(length as u64, out);
    out.put_slice(answer.incarnation.as_bytes());
    out.put_u8(b'.');
    out.put_slice(digits);
    time(17, answer.evaluated_at, out);
}

/// Writes a number, which is not negative, in decimal digits.
fn decimal(number: i64, digits: &mut [u8; 20]) -> &[u8] {
    let mut left = number.max(0).cast_unsigned();
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        first = at;
        if left == 0 {
            break;
        }
    }
    digits.get(first..).unwrap_or_default()
}

fn write_active(active: &Active<'_>, out: &mut BytesMut) {
    let Active { kept, missing } = active;
    number(1, u64::from(missing.is_empty()), out);
    number(2, 1, out);
    let mut token_id = [0; TokenId::TEXT];
    text(3, kept.token_id.write(&mut token_id), out);
    text(4, kept.tenant_id().as_str(), out);
    if let Some(owner) = &kept.owner {
        text(5, owner.user_id_text(), out);
        text(6, &owner.external_id, out);
    }
    let role = kept.role().map(outward::role).unwrap_or_default();
    number(7, u64::from(role.cast_unsigned()), out);
    number(8, u64::from(outward::kind(kept.kind).cast_unsigned()), out);
    let (name, agent_id, labels) = kept.texts();
    text(9, name, out);
    text(10, agent_id, out);
    for scope in &kept.grant.effective {
        bytes(11, scope.as_str().as_bytes(), out);
    }
    for scope in *missing {
        bytes(12, scope.as_bytes(), out);
    }
    for (key, value) in labels {
        let part = |text: &str| match text.len() as u64 {
            0 => 0,
            length => 1 + width(length) + length,
        };
        varint(13 << 3 | BYTES, out);
        varint(part(key) + part(value), out);
        text(1, key, out);
        text(2, value, out);
    }
    time(14, kept.created_at, out);
    if let Some(end) = kept.expires_at() {
        time(15, end, out);
    }
}

/// Writes one result of a `BatchIntrospectResponse`, given its `IntrospectResponse`.
pub(super) fn write_result(response: &[u8], out: &mut BytesMut) {
    let length = response.len() as u64;
    varint(1 << 3 | BYTES, out);
    varint(1 + width(length) + length, out);
    bytes(1, response, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_as_many_bytes_as_are_said() {
        for shift in 0..64 {
            for number in [1u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = BytesMut::new();
                varint(number, &mut out);
                assert_eq!(out.len() as u64, width(number), "{number}");
                assert_eq!(prost::encoding::decode_varint(&mut out).unwrap(), number);
            }
        }
    }

    #[test]
    fn decimals_are_as_they_are_printed() {
        for number in [0, 7, 10, 99, 100, 12345, i64::MAX] {
            let mut digits = [0; 20];
            assert_eq!(decimal(number, &mut digits), number.to_string().as_bytes());
        }
    }
}
