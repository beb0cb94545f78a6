//! The lexical elements of fields: tokens and decimal numbers.

/// True for a token (RFC 9110 section 5.6.2), such as a field name or a method.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(is_token_byte)
}

pub(super) fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// Why text is not a 64-bit number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberError {
    Malformed,
    TooLarge,
}

/// Parses a number of digits only, without sign or space (RFC 9110 section 8.6).
pub(super) fn decimal(text: &[u8]) -> Result<u64, NumberError> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::Malformed);
    }
    let value = text.iter().try_fold(0_u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    value.ok_or(NumberError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_only() {
        let cases = [
            ("0", Ok(0)),
            ("007", Ok(7)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("18446744073709551616", Err(NumberError::TooLarge)),
            ("99999999999999999999999", Err(NumberError::TooLarge)),
            ("", Err(NumberError::Malformed)),
            ("+1", Err(NumberError::Malformed)),
            (" 1", Err(NumberError::Malformed)),
            ("1a", Err(NumberError::Malformed)),
        ];
        for (text, expected) in cases {
            assert_eq!(decimal(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn tokens() {
        for (text, expected) in [("X-Name", true), ("!~", true), ("", false), ("a b", false)] {
            assert_eq!(is_token(text.as_bytes()), expected, "{text:?}");
        }
        assert!(!is_token(b"a:") && !is_token("ä".as_bytes()));
    }
}
