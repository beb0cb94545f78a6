//! Numbers as people read them.

use crate::page::figure;

/// How the values of a figure are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Microseconds, as µs, ms or s.
    Time,
    /// A number with a unit after it.
    Number(String),
}

impl Format {
    /// Reads the description of a unit, such as `requests per second` or `99th percentile, µs`.
    pub fn of(unit: &str) -> Format {
        let plain = unit.split(';').next().unwrap_or_default().trim();
        let last = plain.rsplit(", ").next().unwrap_or_default();
        match last {
            "µs" | "us" => Format::Time,
            // A unit alone at the end, after what is measured.
            "ms" | "s" | "MiB" | "KiB" | "bytes" => Format::Number(last.to_owned()),
            _ => Format::Number(plain.to_owned()),
        }
    }

    /// A value with its unit.
    pub fn full(&self, value: f64) -> String {
        match self {
            Format::Time => time(value),
            Format::Number(unit) if unit.is_empty() => number(value),
            Format::Number(unit) => format!("{} {unit}", number(value)),
        }
    }

    /// A value without a unit that is the same for all.
    pub fn bare(&self, value: f64) -> String {
        match self {
            Format::Time => time(value),
            Format::Number(_) => number(value),
        }
    }

    /// The unit that a bare value lacks.
    pub fn unit(&self) -> Option<&str> {
        match self {
            Format::Number(unit) if !unit.is_empty() => Some(unit),
            Format::Time | Format::Number(_) => None,
        }
    }

    /// The value of a tick, which is round.
    pub fn tick(&self, value: f64) -> String {
        let scaled = |value: f64, unit: &str| format!("{}{unit}", plain(value));
        match (self, value) {
            (_, 0.0) => "0".to_owned(),
            (Format::Time, 1e6..) => scaled(value / 1e6, " s"),
            (Format::Time, 1e3..) => scaled(value / 1e3, " ms"),
            (Format::Time, _) => scaled(value, " µs"),
            (_, 1e9..) => scaled(value / 1e9, " G"),
            (_, 1e6..) => scaled(value / 1e6, " M"),
            (_, 1e4..) => scaled(value / 1e3, " k"),
            _ => step(value),
        }
    }
}

/// A number with three significant digits or more.
fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        _ if value.abs() < 1e-4 => format!("{value:.1e}"),
        _ if value.abs() < 0.01 => format!("{value:.4}"),
        _ if value.fract() == 0.0 => step(value),
        _ => figure(Some(value)),
    }
}

fn time(microseconds: f64) -> String {
    match microseconds {
        0.0 => "0".to_owned(),
        ..1e3 => format!("{} µs", figure(Some(microseconds))),
        ..1e6 => format!("{} ms", figure(Some(microseconds / 1e3))),
        _ => format!("{} s", figure(Some(microseconds / 1e6))),
    }
}

/// A number without the rounding errors of sums.
fn plain(value: f64) -> String {
    format!("{}", (value * 1e6).round() / 1e6)
}

/// A step, or another number that is round.
pub fn step(value: f64) -> String {
    match value {
        1e3.. => figure(Some(value)),
        _ => plain(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_fits() {
        let time = Format::of("99th percentile, µs; a request without a response counts");
        assert_eq!(time, Format::Time);
        assert_eq!(time.full(792_199.0), "792 ms");
        assert_eq!(time.tick(1e6), "1 s");
        assert_eq!(time.full(91.0), "91.0 µs");
    }

    #[test]
    fn numbers_have_their_unit() {
        let rate = Format::of("requests per second");
        assert_eq!(rate.full(45_123.4), "45,123 requests per second");
        assert_eq!(
            (rate.tick(50_000.0), rate.tick(0.2)),
            ("50 k".into(), "0.2".into())
        );
        let cost = Format::of("µs per request");
        assert_eq!(cost.full(6.674), "6.67 µs per request");
    }
}
