//! Base62 over `0-9A-Za-z`: bytes as one big-endian number, left-padded with `0`.

use super::entropy::{self, Entropy, EntropyError};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Returns the digit's character.
fn character(digit: u8) -> char {
    ALPHABET
        .get(usize::from(digit))
        .copied()
        .map_or('0', char::from)
}

/// Returns the character's digit.
fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'A'..=b'Z' => Some(character - b'A' + 10),
        b'a'..=b'z' => Some(character - b'a' + 36),
        _ => None,
    }
}

/// Returns whether each character is one of the alphabet.
pub fn is_base62(text: &str) -> bool {
    // All of them, even if the first is none: that takes many at once.
    text.bytes()
        .fold(true, |are, byte| are & byte.is_ascii_alphanumeric())
}

/// Encodes the bytes in `width` characters, which must suffice: 43 for 32 bytes,
/// 22 for 16, 6 for 4.
pub fn encode(bytes: &[u8], width: usize) -> String {
    if bytes.len() <= size_of::<u128>() {
        let number = bytes
            .iter()
            .fold(0, |n: u128, byte| n << 8 | u128::from(*byte));
        let mut text = vec![b'0'; width];
        write_number(number, &mut text);
        return String::from_utf8(text).unwrap_or_default();
    }
    let mut number = bytes.to_vec();
    let mut reversed = Vec::with_capacity(width);
    for _ in 0..width {
        let mut remainder = 0u32;
        for byte in &mut number {
            let dividend = remainder << 8 | u32::from(*byte);
            *byte = u8::try_from(dividend / 62).unwrap_or(0);
            remainder = dividend % 62;
        }
        reversed.push(character(u8::try_from(remainder).unwrap_or(0)));
    }
    reversed.iter().rev().collect()
}

/// The number that has one digit more than a chunk.
const CHUNK: u64 = 62u64.pow(10);

/// Writes a number in as many digits as there is room for, which must suffice.
pub fn write_number(mut number: u128, room: &mut [u8]) {
    // Ten digits at once: division in 64 bits is cheaper.
    for chunk in room.rchunks_mut(10) {
        let mut low;
        (number, low) = if let Ok(narrow) = u64::try_from(number) {
            (u128::from(narrow / CHUNK), narrow % CHUNK)
        } else {
            let (high, chunk) = (number / u128::from(CHUNK), number % u128::from(CHUNK));
            (high, u64::try_from(chunk).unwrap_or(0))
        };
        for place in chunk.iter_mut().rev() {
            let digit = usize::try_from(low % 62).unwrap_or(0);
            *place = ALPHABET.get(digit).copied().unwrap_or(b'0');
            low /= 62;
        }
    }
}

/// Decodes into exactly `N` bytes; `None` for a foreign character or a number
/// that does not fit.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut number = [0u8; N];
    for byte in text.bytes() {
        let mut carry = u32::from(digit(byte)?);
        for place in number.iter_mut().rev() {
            let product = u32::from(*place) * 62 + carry;
            *place = u8::try_from(product & 0xff).unwrap_or(0);
            carry = product >> 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(number)
}

/// Draws so many characters, each equally likely.
pub fn random(entropy: &dyn Entropy, width: usize) -> Result<String, EntropyError> {
    let mut text = String::with_capacity(width);
    while text.len() < width {
        let drawn: [u8; 16] = entropy::bytes(entropy)?;
        for byte in drawn {
            // 248 is the largest multiple of 62 in a byte: beyond it, `%` would
            // favour the first characters.
            if byte < 248 && text.len() < width {
                text.push(character(byte % 62));
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decoding_an_encoding_gives_the_bytes_back(bytes: [u8; 32]) {
            let text = encode(&bytes, 43);
            prop_assert_eq!(text.len(), 43);
            prop_assert_eq!(decode::<32>(&text), Some(bytes));
        }

        #[test]
        fn sixteen_bytes_fit_22_characters(bytes: [u8; 16]) {
            prop_assert_eq!(decode::<16>(&encode(&bytes, 22)), Some(bytes));
        }
    }

    #[test]
    fn characters_are_those_that_are_digits() {
        for byte in 0..=u8::MAX {
            let text = char::from(byte).to_string();
            let is_digit = byte.is_ascii() && digit(byte).is_some();
            assert_eq!(is_base62(&text), is_digit, "{byte}");
            // Wherever it stands.
            for text in [format!("{text}00000000000"), format!("00000000000{text}")] {
                assert_eq!(is_base62(&text), is_digit, "{byte}");
            }
        }
    }

    #[test]
    fn numbers_of_any_width_are_written_as_they_are_decoded() {
        let narrow = u128::from(u64::MAX);
        let chunk = u128::from(CHUNK);
        for number in [
            0,
            1,
            61,
            62,
            chunk - 1,
            chunk,
            narrow,
            narrow + 1,
            u128::MAX,
        ] {
            let mut text = [0; 22];
            write_number(number, &mut text);
            let text = std::str::from_utf8(&text).unwrap();
            assert_eq!(decode::<16>(text), Some(number.to_be_bytes()), "{number}");
        }
    }

    #[test]
    fn extremes() {
        assert_eq!(encode(&[0; 16], 22), "0".repeat(22));
        assert_eq!(encode(&[0xff; 4], 6), "4gfFC3");
        assert_eq!(decode::<4>("4gfFC3"), Some([0xff; 4]));
        assert_eq!(decode::<4>("4gfFC4"), None, "one past the largest number");
        assert_eq!(decode::<4>("4gf-C3"), None);
    }
}
