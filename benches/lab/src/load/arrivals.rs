//! When requests are due: a Poisson process, as independent clients make it. It reads no clock.
//!
//! The gaps are exponential and independent of each other. So the requests come in bursts, as they
//! do at a server of many clients, and sample its state without bias: even gaps could keep in step
//! with something that the server does periodically, and meet it always or never. The seed decides
//! all gaps: two models get the same requests at the same times.

use fastrand::Rng;

/// The due times, as nanoseconds since the start of the load.
#[derive(Clone)]
pub struct Arrivals {
    random: Rng,
    mean_gap_ns: f64,
    /// When the next request is due. A sum of fractions, so that short gaps are not rounded.
    next_ns: f64,
}

impl Arrivals {
    pub fn new(per_second: f64, seed: u64) -> Arrivals {
        let mut arrivals = Arrivals {
            random: Rng::with_seed(seed),
            mean_gap_ns: 1e9 / per_second,
            next_ns: 0.0,
        };
        arrivals.take();
        arrivals
    }

    /// When the next request is due.
    pub fn next_ns(&self) -> u64 {
        self.next_ns as u64
    }

    /// Returns when the next request is due, and goes on to the one after it.
    pub fn take(&mut self) -> u64 {
        let due = self.next_ns();
        // `f64` is in 0..1, so the logarithm is of a positive number.
        self.next_ns -= (1.0 - self.random.f64()).ln() * self.mean_gap_ns;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::Arrivals;

    const COUNT: usize = 200_000;

    fn gaps(seed: u64) -> Vec<f64> {
        let mut arrivals = Arrivals::new(1000.0, seed);
        let mut before = 0;
        let mut gap = || {
            let due = arrivals.take();
            let gap = (due - before) as f64 / 1e6;
            before = due;
            gap
        };
        (0..COUNT).map(|_| gap()).collect()
    }

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        values.sum::<f64>() / COUNT as f64
    }

    #[test]
    fn gaps_are_exponential_and_independent() {
        for seed in [1, 2, 3] {
            let gaps = gaps(seed);
            let average = mean(gaps.iter().copied());
            assert!((0.99..1.01).contains(&average), "{average} ms");
            // The standard deviation of an exponential distribution is its mean.
            let variance = mean(gaps.iter().map(|gap| (gap - average).powi(2)));
            assert!((0.97..1.03).contains(&variance), "{variance} ms²");
            // A gap exceeds three times the mean with the probability e^-3.
            let long = mean(gaps.iter().map(|gap| f64::from(*gap > 3.0)));
            assert!((0.047..0.053).contains(&long), "{long}");
            for distance in [1, 2, 7] {
                let pairs = gaps.iter().zip(&gaps[distance..]);
                let products = pairs.map(|(one, other)| (one - average) * (other - average));
                let correlation = mean(products) / variance;
                assert!(correlation.abs() < 0.01, "{correlation} at {distance}");
            }
        }
    }

    #[test]
    fn a_seed_decides_all_gaps() {
        assert_eq!(gaps(1), gaps(1));
        assert_ne!(gaps(1), gaps(2));
    }
}
