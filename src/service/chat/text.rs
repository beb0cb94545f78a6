//! Removes invisible characters from lines, and finds names that look alike.
//!
//! Characters that move a terminal's cursor, reverse the order of text or are invisible could make
//! a line look like another member's, or a name like another member's name.

use std::ops::RangeInclusive;
use unicode_security::skeleton;

/// Invisible characters: controls (C0, C1), line and paragraph separators, direction marks (UAX
/// #9), joiners, selectors, fillers and tags (all of Default_Ignorable_Code_Point in Unicode's
/// DerivedCoreProperties.txt), annotations, and noncharacters.
const INVISIBLE: &[RangeInclusive<u32>] = &[
    0x0000..=0x001f,
    0x007f..=0x009f,
    0x00ad..=0x00ad,
    0x034f..=0x034f,
    0x061c..=0x061c,
    0x115f..=0x1160,
    0x17b4..=0x17b5,
    0x180b..=0x180f,
    0x200b..=0x200f,
    0x2028..=0x202e,
    0x2060..=0x206f,
    0x3164..=0x3164,
    0xfdd0..=0xfdef,
    0xfe00..=0xfe0f,
    0xfeff..=0xfeff,
    0xffa0..=0xffa0,
    0xfff0..=0xfffb,
    0xfffe..=0xffff,
    0x1bca0..=0x1bca3,
    0x1d173..=0x1d17a,
    0xe0000..=0xe0fff,
];

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
const TEXT_STYLE: char = '\u{fe0e}';
const EMOJI_STYLE: char = '\u{fe0f}';

/// True if a character is invisible by itself. Names must not contain one.
pub(super) fn is_invisible(c: char) -> bool {
    let is_noncharacter = u32::from(c) & 0xfffe == 0xfffe;
    is_noncharacter || INVISIBLE.iter().any(|range| range.contains(&u32::from(c)))
}

/// Removes invisible characters from a line.
///
/// Persian, the Indic scripts and emoji need joiners and the two emoji styles. One of each is kept
/// between visible characters.
pub(super) fn without_invisible(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let (mut style, mut joiner) = (None, None);
    let mut can_follow = false;
    for c in line.chars() {
        match c {
            TEXT_STYLE | EMOJI_STYLE if can_follow && joiner.is_none() => style = Some(c),
            ZERO_WIDTH_JOINER | ZERO_WIDTH_NON_JOINER if can_follow => joiner = Some(c),
            '\t' => {
                text.extend(style.take());
                (joiner, can_follow) = (None, false);
                text.push(' ');
            }
            _ if is_invisible(c) => {}
            _ => {
                text.extend(style.take());
                let joins = !c.is_whitespace();
                text.extend(joiner.take().filter(|_| joins));
                text.push(c);
                can_follow = joins;
            }
        }
    }
    text.extend(style);
    text
}

/// The skeletons of a name (UTS #39 section 4), as it is and without case. Two names look alike if
/// they share a skeleton.
pub(super) fn skeletons(name: &str) -> [String; 2] {
    [
        skeleton(name).collect(),
        skeleton(&fold_case(name)).collect(),
    ]
}

/// Folds a name's case.
pub(super) fn fold_case(name: &str) -> String {
    let upper = name.chars().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_removed() {
        let cases = [
            (
                "plain, ünïcode, 日本語, עברית",
                "plain, ünïcode, 日本語, עברית",
            ),
            ("a\u{1b}[2Jb\u{7}\u{7f}", "a[2Jb"),
            ("a\tb", "a b"),
            ("a\u{85}b\u{9b}2Jc\u{80}\u{9f}", "ab2Jc"),
            ("a\u{202e}b\u{202c}c\u{202a}\u{202b}\u{202d}", "abc"),
            ("a\u{2066}b\u{2067}c\u{2068}d\u{2069}", "abcd"),
            ("a\u{200e}b\u{200f}c\u{61c}d", "abcd"),
            ("a\u{200b}b\u{2060}c\u{feff}d\u{ad}e", "abcde"),
            ("a\u{2028}b\u{2029}c", "abc"),
            ("a\u{e0001}\u{e0061}\u{e007f}b\u{e0100}", "ab"),
            (
                "a\u{fff9}b\u{fffa}c\u{fffb}\u{fffe}\u{ffff}\u{fdd0}\u{1fffe}",
                "abc",
            ),
            ("a\u{3164}\u{115f}\u{1160}\u{ffa0}b", "ab"),
            ("a\u{180e}\u{180b}b\u{34f}\u{2061}c\u{206f}", "abc"),
            // Families and flags of emoji, Persian and Devanagari in their usual spelling.
            (
                "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
                "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
            ),
            (
                "\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}!",
                "\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}!",
            ),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("क्\u{200d}ष", "क्\u{200d}ष"),
            ("\u{2764}\u{fe0f}", "\u{2764}\u{fe0f}"),
            // Joiners that join nothing, and superfluous ones.
            ("\u{200d}a\u{200c}", "a"),
            ("a \u{200d} b", "a  b"),
            ("a\u{200d}\u{200d}\u{200c}b", "a\u{200c}b"),
            ("a\u{fe0f}\u{fe0f}\u{fe0e}b", "a\u{fe0e}b"),
            ("\u{fe0f}\u{fe00}a\u{fe01}", "a"),
            ("\u{200b}\u{202e}", ""),
            ("\u{fffd}", "\u{fffd}"),
        ];
        for (line, expected) in cases {
            assert_eq!(without_invisible(line), expected, "{line:?}");
        }
    }

    #[test]
    fn names_that_look_alike_share_a_skeleton() {
        let cases = [
            ("alice", "alice", true),
            ("alice", "Alice", true),
            ("alice", "bob", false),
            ("alice", "al\u{456}ce", true),
            ("paypal", "\u{440}\u{430}ypal", true),
            ("Al", "AI", true),
            ("al", "aI", true),
            ("guest1", "guestl", true),
            ("guest1", "guest11", false),
            ("guest10", "guest1O", true),
            ("guest12", "guest21", false),
            ("Straße", "STRASSE", true),
            ("Οδος", "ΟΔΟΣ", true),
            ("\u{e5}", "\u{212b}", true),
            ("한", "\u{1112}\u{1161}\u{11ab}", true),
            ("\u{1d41a}", "a", true),
            ("a_b", "a-b", false),
        ];
        for (one, other, expected) in cases {
            let (a, b) = (skeletons(one), skeletons(other));
            let same = a.iter().any(|skeleton| b.contains(skeleton));
            assert_eq!(same, expected, "{one} {other}: {a:?} {b:?}");
        }
    }
}
