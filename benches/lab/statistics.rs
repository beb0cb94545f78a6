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

/// The median of the ratios within pairs: `above[i] / below[i]`, where both were measured.
///
/// Pairs measured one right after the other share the disturbances of that moment, so their ratio
/// is steadier than the ratio of two medians.
pub fn median_of_ratios(above: &[Option<f64>], below: &[Option<f64>]) -> Option<f64> {
    let pairs = above.iter().zip(below);
    let ratios: Vec<_> = pairs.filter_map(|(a, b)| Some((*a)? / (*b)?)).collect();
    median(&ratios)
}
