//! Numbers, times and sizes as people write them.

use bytesize::ByteSize;
use std::time::Duration;

/// A number and what it counts: `1 request`, `2,000 requests`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// Digits in threes: `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A size in the largest unit that leaves a digit before the point: `17 B`, `1.3 MiB`.
pub(super) fn size(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

/// A time in one unit, or from a minute on in two: `3.2 ms`, `42.0 s`, `2 h 5 min`.
pub(super) fn time(time: Duration) -> String {
    let (seconds, whole) = (time.as_secs_f64(), time.as_secs());
    let in_two = |large, small, names: [&str; 2]| {
        let (first, second) = (whole / large, whole % large / small);
        format!("{first} {} {second} {}", names[0], names[1])
    };
    match whole {
        // What would be rounded up to 1000.0 is shown in the next unit.
        0 if seconds < 999.95e-6 => format!("{:.1} \u{b5}s", seconds * 1e6),
        0 if seconds < 999.95e-3 => format!("{:.1} ms", seconds * 1e3),
        0..60 => format!("{seconds:.1} s"),
        60..3600 => in_two(60, 1, ["min", "s"]),
        3600..86_400 => in_two(3600, 60, ["h", "min"]),
        _ => in_two(86_400, 3600, ["d", "h"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_in_threes() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345, "12,345"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(grouped(number), expected);
        }
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(count(0, "request"), "0 requests");
        assert_eq!(count(1, "request"), "1 request");
        assert_eq!(count(1000, "request"), "1,000 requests");
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        let us = Duration::from_micros;
        for (given, expected) in [
            (Duration::ZERO, "0.0 \u{b5}s"),
            (us(4), "4.0 \u{b5}s"),
            (us(900_093), "900.1 ms"),
            (us(999_960), "1.0 s"),
            (us(42_040_000), "42.0 s"),
            (us(60_000_000), "1 min 0 s"),
            (us(3_599_999_999), "59 min 59 s"),
            (us(7_500_000_000), "2 h 5 min"),
            (us(90_000_000_000), "1 d 1 h"),
        ] {
            assert_eq!(time(given), expected);
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        for (bytes, expected) in [(17, "17 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB")] {
            assert_eq!(size(bytes), expected);
        }
    }
}
