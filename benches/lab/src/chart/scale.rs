//! From values to places on an axis, and the axis' ticks.
//!
//! A logarithmic axis has no zero. Where values are zero, it stands apart, before a break.

/// The part of the axis that a zero before the break takes, in units.
const APART: f64 = 24.0;

/// An axis from one place to another.
#[derive(Debug)]
pub struct Scale {
    logarithmic: bool,
    /// A logarithmic axis with a zero before its break.
    zero_apart: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// An axis for values, which has 0 if it is linear.
    pub fn linear(values: impl Iterator<Item = f64>, (from, to): (f64, f64)) -> Scale {
        let greatest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let greatest = if greatest > 0.0 { greatest } else { 1.0 };
        let step = nice_step(greatest);
        let high = (greatest / step - 1e-9).ceil() * step;
        Scale {
            logarithmic: false,
            zero_apart: false,
            low: 0.0,
            high,
            from,
            to,
        }
    }

    /// A logarithmic axis for values, of which none is negative.
    pub fn logarithmic(values: impl Iterator<Item = f64>, (from, to): (f64, f64)) -> Scale {
        let values: Vec<_> = values.filter(|value| value.is_finite()).collect();
        let positive = || values.iter().copied().filter(|value| *value > 0.0);
        let (low, high) = (
            positive().fold(f64::INFINITY, f64::min),
            positive().fold(0.0, f64::max),
        );
        let (low, high) = if high > 0.0 { (low, high) } else { (1.0, 10.0) };
        Scale {
            logarithmic: true,
            zero_apart: values.iter().any(|value| *value <= 0.0),
            low,
            high: if high > low { high } else { low * 10.0 },
            from,
            to,
        }
    }

    /// Ends the axis at round values.
    pub fn rounded(mut self) -> Scale {
        if self.logarithmic {
            self.low = one_two_five(self.low * 1.000_001, false);
            self.high = one_two_five(self.high * 0.999_999, true);
        }
        self
    }

    /// Ends a linear axis at its greatest value.
    pub fn tight(mut self, greatest: f64) -> Scale {
        if !self.logarithmic && greatest > 0.0 {
            self.high = greatest;
        }
        self
    }

    pub fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// The middle of the break between 0 and the rest.
    pub fn gap(&self) -> Option<f64> {
        self.zero_apart
            .then(|| self.from + self.sign() * APART / 2.0)
    }

    fn sign(&self) -> f64 {
        (self.to - self.from).signum()
    }

    /// The place of a value.
    pub fn at(&self, value: f64) -> f64 {
        if !self.logarithmic {
            let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
            return self.from + part * (self.to - self.from);
        }
        if value <= 0.0 {
            return self.from;
        }
        let from = match self.zero_apart {
            true => self.from + self.sign() * APART,
            false => self.from,
        };
        let part = (value / self.low).ln() / (self.high / self.low).ln();
        from + part.clamp(0.0, 1.0) * (self.to - from)
    }

    /// Round values along the axis.
    pub fn ticks(&self) -> Vec<f64> {
        if !self.logarithmic {
            let step = nice_step(self.high);
            let count = (self.high / step + 1e-9).floor() as u32;
            return (0..=count).map(|tick| f64::from(tick) * step).collect();
        }
        let decades = (self.high / self.low).log10();
        let digits: &[f64] = match decades {
            ..1.7 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let powers = (self.low.log10().floor() as i32)..=(self.high.log10().ceil() as i32);
        let all =
            powers.flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
        let inside = |tick: &f64| *tick >= self.low * 0.999 && *tick <= self.high * 1.001;
        let zero = self.zero_apart.then_some(0.0);
        zero.into_iter().chain(all.filter(inside)).collect()
    }
}

/// A step of 1, 2 or 5 times a power of ten that divides a range into at most 6 parts.
fn nice_step(range: f64) -> f64 {
    let rough = range / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|digit| digit * power);
    let fits = steps.into_iter().find(|step| *step >= rough * 0.999_999);
    fits.unwrap_or(10.0 * power)
}

/// The next value of 1, 2 or 5 times a power of ten, above or below.
fn one_two_five(value: f64, above: bool) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let digits = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
    let next = match above {
        true => digits.into_iter().find(|digit| *digit >= value),
        false => digits.into_iter().rfind(|digit| *digit <= value),
    };
    next.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_begins_at_zero_and_ends_at_a_tick() {
        let scale = Scale::linear([3.0, 47.0].into_iter(), (200.0, 0.0));
        assert_eq!(scale.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!((scale.at(0.0), scale.at(50.0)), (200.0, 0.0));
    }

    #[test]
    fn a_logarithmic_axis_has_true_distances() {
        let scale = Scale::logarithmic([1.0, 10.0, 100.0].into_iter(), (0.0, 100.0));
        assert_eq!(
            [1.0, 10.0, 100.0].map(|value| scale.at(value).round()),
            [0.0, 50.0, 100.0]
        );
        assert_eq!(scale.gap(), None);
    }

    #[test]
    fn zero_stands_apart_on_a_logarithmic_axis() {
        let scale = Scale::logarithmic([0.0, 100.0, 15_000.0].into_iter(), (0.0, 224.0));
        assert_eq!(scale.at(0.0), 0.0);
        assert_eq!((scale.at(100.0), scale.gap()), (24.0, Some(12.0)));
    }

    #[test]
    fn the_ends_of_a_logarithmic_axis_are_round() {
        let scale = Scale::logarithmic([130.0, 790_000.0].into_iter(), (0.0, 1.0)).rounded();
        assert_eq!(
            (scale.low.round(), scale.high.round()),
            (100.0, 1_000_000.0)
        );
        assert_eq!(scale.ticks().len(), 5);
        let scale = Scale::logarithmic([130.0, 420.0].into_iter(), (0.0, 1.0)).rounded();
        assert_eq!(scale.ticks(), [100.0, 200.0, 500.0]);
    }

    #[test]
    fn nothing_but_zeros_has_an_axis_too() {
        assert_eq!(Scale::linear([0.0].into_iter(), (0.0, 1.0)).at(0.0), 0.0);
        let scale = Scale::logarithmic([0.0].into_iter(), (0.0, 100.0));
        assert_eq!(scale.at(0.0), 0.0);
    }
}
