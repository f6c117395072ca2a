//! How long a certificate is good, read off its DER (RFC 5280, 4.1). Nothing else of it is
//! read here, and nobody is trusted for it.

use crate::domain::time::Timestamp;

/// From when and until when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From when: this moment, too.
    pub not_before: Timestamp,
    /// Until when: this moment, too.
    pub not_after: Timestamp,
}

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which is left out of a certificate of version 1.
const VERSION: u8 = 0xa0;

impl Validity {
    /// Reads a certificate's; nothing where it is none.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let mut certificate = certificate;
        let mut signed = expect(&mut certificate, SEQUENCE)?;
        let mut body = expect(&mut signed, SEQUENCE)?;
        let mut after_version = body;
        if take(&mut after_version)?.0 == VERSION {
            body = after_version;
        }
        expect(&mut body, INTEGER)?;
        // The algorithm of the signature, and who signed it.
        expect(&mut body, SEQUENCE)?;
        expect(&mut body, SEQUENCE)?;
        let mut validity = expect(&mut body, SEQUENCE)?;
        Some(Self {
            not_before: time(&mut validity)?,
            not_after: time(&mut validity)?,
        })
    }
}

/// Takes the first value off: its tag, and what it holds.
fn take<'a>(der: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        // More digits than these are of no certificate.
        let digits = Some(digits).filter(|digits| digits.len() <= 3)?;
        let length = digits
            .iter()
            .fold(0, |length, digit| (length << 8) | usize::from(*digit));
        (length, rest)
    };
    let (held, rest) = rest.split_at_checked(length)?;
    *der = rest;
    Some((tag, held))
}

fn expect<'a>(der: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, held) = take(der)?;
    (found == tag).then_some(held)
}

/// Takes a time off, in UTC and whole seconds.
fn time(der: &mut &[u8]) -> Option<Timestamp> {
    let (tag, text) = take(der)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, text) = match tag {
        UTC_TIME => {
            let (year, text) = text.split_at_checked(2)?;
            let year = year.parse::<i64>().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text)
        }
        GENERALIZED_TIME => {
            let (year, text) = text.split_at_checked(4)?;
            (year.parse().ok()?, text)
        }
        _ => return None,
    };
    let mut rest = text;
    let mut two = || {
        let (digits, after) = rest.split_at_checked(2)?;
        rest = after;
        digits.parse::<u8>().ok()
    };
    let (month, day) = (two()?, two()?);
    let (hour, minute, second) = (two()?, two()?, two()?);
    let at = prost_types::Timestamp::date_time(year, month, day, hour, minute, second).ok()?;
    // What began before 1970 has begun.
    Timestamp::from_parts(at.seconds.max(0), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn made(from: (i32, u8, u8), to: (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new([String::from("a.example")]).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn it_is_read_in_either_form_of_time() {
        for (from, to, expected) in [
            (
                (2024, 2, 29),
                (2026, 11, 23),
                "2024-02-29T00:00:00Z 2026-11-23T00:00:00Z",
            ),
            // Past 2049 a year has four digits.
            (
                (1975, 1, 1),
                (4096, 1, 1),
                "1975-01-01T00:00:00Z 4096-01-01T00:00:00Z",
            ),
            (
                (1960, 1, 1),
                (2049, 12, 31),
                "1970-01-01T00:00:00Z 2049-12-31T00:00:00Z",
            ),
        ] {
            let Validity {
                not_before,
                not_after,
            } = Validity::of(&made(from, to)).unwrap();
            assert_eq!(format!("{not_before} {not_after}"), expected);
        }
    }

    #[test]
    fn what_is_cut_short_or_no_certificate_has_none() {
        let whole = made((2024, 1, 1), (2025, 1, 1));
        for end in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..end]), None, "{end}");
        }
        for other in [
            b"".as_slice(),
            b"\x30",
            b"\x30\x84\xff\xff\xff\xff",
            &[0x30; 64],
        ] {
            assert_eq!(Validity::of(other), None);
        }
    }
}
