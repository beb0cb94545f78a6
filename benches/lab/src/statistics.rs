//! Statistics of repeated measurements. An empty list has none, hence `Option`.

/// The median: the middle one, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

pub fn least(values: &[f64]) -> Option<f64> {
    values.iter().copied().min_by(f64::total_cmp)
}

pub fn greatest(values: &[f64]) -> Option<f64> {
    values.iter().copied().max_by(f64::total_cmp)
}

/// An interval that holds the true median in at least 95 of 100 cases, whatever the distribution:
/// from the k-th smallest value to the k-th greatest, with the largest k for which that is so.
/// `None` for fewer than 6 values.
pub fn median_interval(values: &[f64]) -> Option<Interval> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    // Each value is below the true median in half of all cases. So the number of those below is
    // that of heads among `count` coins.
    let mut chance = 0.5_f64.powi(count as i32);
    let (mut fewer, mut rank) = (0.0, 0);
    while rank < count && 2.0 * (fewer + chance) <= 0.05 {
        fewer += chance;
        chance *= (count - rank) as f64 / (rank + 1) as f64;
        rank += 1;
    }
    let least = rank.checked_sub(1)?;
    Some(Interval {
        low: sorted[least],
        high: sorted[count - rank],
    })
}

/// The median of the ratios within pairs: `above[i] / below[i]`, where both were measured.
///
/// Pairs measured one right after the other share the disturbances of that moment, so their ratio
/// is steadier than the ratio of two medians.
pub fn median_of_ratios(above: &[Option<f64>], below: &[Option<f64>]) -> Option<f64> {
    let pairs = above.iter().zip(below);
    let ratios: Vec<_> = pairs.filter_map(|(a, b)| Some((*a)? / (*b)?)).collect();
    median(&ratios)
}

/// Where a median lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// The median of ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    pub median: f64,
    /// `None` for fewer than 6 pairs.
    pub interval: Option<Interval>,
    pub pairs: usize,
}

/// What a ratio shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Higher,
    Lower,
    /// The interval contains 1.
    NoDifference,
    /// There is no interval.
    TooFew,
}

impl Ratio {
    /// `None` for an empty list.
    pub fn of(ratios: &[f64]) -> Option<Ratio> {
        Some(Ratio {
            median: median(ratios)?,
            interval: median_interval(ratios),
            pairs: ratios.len(),
        })
    }

    pub fn verdict(&self) -> Verdict {
        match self.interval {
            None => Verdict::TooFew,
            Some(interval) if interval.low > 1.0 => Verdict::Higher,
            Some(interval) if interval.high < 1.0 => Verdict::Lower,
            Some(_) => Verdict::NoDifference,
        }
    }

    /// Half of the interval, as a part of the median.
    pub fn spread(&self) -> Option<f64> {
        let interval = self.interval?;
        Some((interval.high - interval.low) / 2.0 / self.median)
    }
}
