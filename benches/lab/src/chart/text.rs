//! The width of text, lines of it, and labels that give way to each other.

/// The width of text in a wide sans-serif font such as DejaVu Sans. Others are narrower.
pub fn width(text: &str, size: f64) -> f64 {
    let em = |letter: char| match letter {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 0.33,
        'f' | 'r' | 't' | '(' | ')' | '-' | '/' => 0.4,
        'm' | 'w' | 'M' | 'W' | '%' | '…' => 1.0,
        'A'..='Z' => 0.72,
        _ => 0.63,
    };
    text.chars().map(em).sum::<f64>() * size
}

/// Breaks text between words into lines of at most `most` units.
pub fn wrap(text: &str, most: f64, size: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    // Not at spaces that do not break.
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Moves places apart to at least `distance`, each as little as possible, between `low` and `high`.
/// Places keep their order and their index.
///
/// If they do not all fit, the distance is smaller.
pub fn spread(places: &[f64], distance: f64, (low, high): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|a, b| places[*a].total_cmp(&places[*b]));
    let most = places.len().saturating_sub(1) as f64;
    let distance = distance.min((high - low) / most.max(1.0));
    // With the distances taken out, places must only not decrease: neighbours that would are
    // brought to their common mean.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (rank, index) in order.iter().enumerate() {
        let mut block = (places[*index] - rank as f64 * distance, 1);
        while let Some(last) = blocks.pop_if(|last| last.0 > block.0) {
            let count = last.1 + block.1;
            let sum = last.0 * last.1 as f64 + block.0 * block.1 as f64;
            block = (sum / count as f64, count);
        }
        blocks.push(block);
    }
    let mut moved = vec![0.0; places.len()];
    let mut rank = 0;
    for (place, count) in blocks {
        for _ in 0..count {
            let place = place.clamp(low, high - most * distance);
            moved[order[rank]] = place + rank as f64 * distance;
            rank += 1;
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_do_not_collide_stay() {
        let places = [50.0, 10.0, 90.0];
        assert_eq!(spread(&places, 15.0, (0.0, 100.0)), places);
    }

    #[test]
    fn labels_that_collide_give_way_to_both_sides() {
        assert_eq!(spread(&[50.0, 52.0], 12.0, (0.0, 100.0)), [45.0, 57.0]);
    }

    #[test]
    fn labels_stay_within_the_bounds() {
        let moved = spread(&[99.0, 99.0, 100.0], 10.0, (0.0, 100.0));
        assert_eq!(moved, [80.0, 90.0, 100.0]);
        assert_eq!(spread(&[0.0; 3], 90.0, (0.0, 100.0)), [0.0, 50.0, 100.0]);
        assert_eq!(spread(&[], 90.0, (0.0, 100.0)), [0.0; 0]);
    }

    #[test]
    fn long_text_has_several_lines() {
        let lines = wrap("a request without a response counts too", 130.0, 13.0);
        assert!(lines.len() > 1, "{lines:?}");
        assert!(lines.iter().all(|line| width(line, 13.0) <= 130.0));
        assert_eq!(lines.join(" "), "a request without a response counts too");
    }
}
