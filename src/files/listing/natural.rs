//! The order of names that people expect: numbers by their value, and letters without their case
//! and accents.
//!
//! A name is a sequence of characters and numbers. Canonically equivalent characters are equal, so
//! it is irrelevant whether an accent is a character of its own (Unicode, "Canonical Ordering").
//! Names that differ in case, accents or leading zeros only are ordered by their bytes.

use std::cmp::Ordering;
use unicode_normalization::char::decompose_canonical;

/// Accents: U+0300 to U+036F. Marks of other scripts are vowels, and count.
const ACCENTS: std::ops::RangeInclusive<char> = '\u{300}'..='\u{36f}';

/// Compares two names. The order is total: only equal names are equal.
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let begin = common_prefix(a, b);
    let (mut left, mut right) = (Folded::new(&a[begin..]), Folded::new(&b[begin..]));
    let by_parts = loop {
        let order = match (left.number(), right.number()) {
            (Some(one), Some(other)) => compare_numbers(one, other),
            // The first digit stands for the number.
            (one, other) => {
                let first = |number: Option<&[u8]>| number.map(|digits| char::from(digits[0]));
                let parts = (
                    first(one).or_else(|| left.next()),
                    first(other).or_else(|| right.next()),
                );
                match parts {
                    (None, None) => break Ordering::Equal,
                    (one, other) => one.cmp(&other),
                }
            }
        };
        if order != Ordering::Equal {
            break order;
        }
    };
    by_parts.then_with(|| a.cmp(b))
}

/// How many first bytes are equal, without a number or a character that the names might continue
/// differently.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut end = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let continues = |name: &[u8], at: usize| name.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    while end > 0 && (continues(a, end) || continues(b, end) || a[end - 1].is_ascii_digit()) {
        end -= 1;
    }
    end
}

/// Compares two sequences of digits by value. They can be longer than any integer type.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| digits.iter().skip_while(|digit| **digit == b'0').count();
    let (a, b) = (
        &a[a.len() - significant(a)..],
        &b[b.len() - significant(b)..],
    );
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// The characters of a name, decomposed, in lower case, and without accents. U+FFFD stands for what
/// is not UTF-8.
pub(super) struct Folded<'a> {
    rest: &'a [u8],
    /// The rest of the last character's decomposition, last first.
    pending: arrayvec::ArrayVec<char, 4>,
}

impl<'a> Folded<'a> {
    pub fn new(name: &'a [u8]) -> Folded<'a> {
        Folded {
            rest: name,
            pending: arrayvec::ArrayVec::new(),
        }
    }

    /// Takes the digits that come next, if any.
    fn number(&mut self) -> Option<&'a [u8]> {
        self.decompose();
        let length = match self.pending.is_empty() {
            true => self.rest.iter().take_while(|b| b.is_ascii_digit()).count(),
            false => 0,
        };
        let (number, rest) = self.rest.split_at(length);
        self.rest = rest;
        (length > 0).then_some(number)
    }

    /// Decomposes the next character unless it is ASCII. Accents before it are skipped.
    fn decompose(&mut self) {
        while self.pending.is_empty()
            && !self.rest.first().is_none_or(u8::is_ascii)
            && let Some(whole) = self.next_char()
        {
            decompose_canonical(whole, |part| {
                if !ACCENTS.contains(&part) {
                    // No part of a decomposition is several characters in lower case, and no
                    // decomposition has more than four parts.
                    let lower = part.to_lowercase().next().unwrap_or(part);
                    let _ = self.pending.try_insert(0, lower);
                }
            });
        }
    }

    /// Takes the next character as it is in the name.
    fn next_char(&mut self) -> Option<char> {
        // A character has at most four bytes.
        let chunk = self.rest[..self.rest.len().min(4)].utf8_chunks().next()?;
        let valid = chunk.valid().chars().next();
        let length = valid.map_or(chunk.invalid().len(), char::len_utf8);
        self.rest = &self.rest[length..];
        Some(valid.unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

impl Iterator for Folded<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        self.decompose();
        if let Some(next) = self.pending.pop() {
            return Some(next);
        }
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(char::from(byte.to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_in_the_order_that_people_expect() {
        let ordered: &[&[u8]] = &[
            b"",
            b"-",
            b"0",
            b"00",
            b"001",
            b"01",
            b"1",
            b"2",
            b"10",
            b"10.txt",
            b"018446744073709551616",
            b"18446744073709551616",
            b"99999999999999999999999",
            b"_",
            b"A",
            b"a",
            "a\u{308}".as_bytes(),
            "\u{c4}".as_bytes(),
            b"Apfel",
            b"apfel",
            "\u{c4}pfel".as_bytes(),
            b"b",
            b"IMG1.jpg",
            b"img2.jpg",
            b"IMG10.JPG",
            b"img10b",
            "\u{130}stanbul".as_bytes(),
            "\u{308}n9".as_bytes(),
            "\u{308}n10".as_bytes(),
            b"ta1-10",
            b"ta01-11",
            b"z",
            "\u{df}".as_bytes(),
            "\u{e6}".as_bytes(),
            "\u{3a9}".as_bytes(),
            "\u{3c9}1".as_bytes(),
            "\u{3a9}2".as_bytes(),
            "\u{416}".as_bytes(),
            "\u{436}".as_bytes(),
            "\u{ac00}".as_bytes(),
            b"\xe2\x80",
            b"\xff",
            b"\xe2\x80x",
        ];
        for (index, a) in ordered.iter().enumerate() {
            for (other, b) in ordered.iter().enumerate() {
                let names = (String::from_utf8_lossy(a), String::from_utf8_lossy(b));
                assert_eq!(compare(a, b), index.cmp(&other), "{names:?}");
            }
        }
    }

    proptest! {
        /// Names with many equal parts are ordered consistently, or a sort would be arbitrary.
        #[test]
        fn the_order_is_total(names in prop::collection::vec(
            "(0|1|9|10|a|A|\u{e4}|\u{308}|\u{c4}|-|\u{ac00}){0,5}", 3)) {
            let [a, b, c] = [0, 1, 2].map(|index| names[index].as_bytes());
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            prop_assert_eq!(compare(a, b) == Ordering::Equal, a == b);
            if compare(a, b) != Ordering::Greater && compare(b, c) != Ordering::Greater {
                prop_assert_ne!(compare(a, c), Ordering::Greater);
            }
        }

        /// Skipping what two names have in common changes nothing.
        #[test]
        fn a_common_prefix_is_irrelevant(
            prefix in prop::collection::vec(any::<u8>(), 0..6),
            a in prop::collection::vec(any::<u8>(), 0..6),
            b in prop::collection::vec(any::<u8>(), 0..6),
        ) {
            let [a, b] = [a, b].map(|tail| [&prefix[..], &tail].concat());
            let skipped = common_prefix(&a, &b);
            let parts = |name: &[u8]| Folded::new(name).collect::<String>();
            let whole = parts(&a);
            prop_assert_eq!(parts(&a[..skipped]) + &parts(&a[skipped..]), whole);
        }
    }
}
