//! The text of a drawn chart, for tests: where it is, and how large.

use super::{LARGE, SMALL, text::width};

/// Text must not be smaller than this at the width at which it is drawn.
const LEAST: f64 = 12.0;

/// A drawn chart.
pub struct Sketch<'a> {
    svg: &'a str,
    width: f64,
    height: f64,
    texts: Vec<Words>,
}

/// A piece of text with its box.
#[derive(Debug)]
#[expect(dead_code, reason = "failures show the words")]
struct Words {
    words: String,
    size: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0)
}

impl Sketch<'_> {
    /// Reads what this crate draws.
    pub fn of(svg: &str) -> Sketch<'_> {
        let view = attribute(svg, "viewBox").expect("a viewBox");
        let view: Vec<f64> = view
            .split(' ')
            .map(|side| side.parse().expect("a number"))
            .collect();
        let texts = svg.split("<text").skip(1).map(|part| {
            let part = part.split_once("</text>").expect("an end").0;
            let (tag, words) = part.split_once('>').expect("a tag");
            let number =
                |name| attribute(tag, name).map(|value| value.parse::<f64>().expect("a number"));
            let (x, y) = (number("x").expect("x"), number("y").expect("y"));
            let size = number("font-size").unwrap_or(SMALL);
            let long = width(words, size);
            let left = match attribute(tag, "text-anchor") {
                Some("end") => x - long,
                Some("middle") => x - long / 2.0,
                _ => x,
            };
            Words {
                words: words.to_owned(),
                size,
                left,
                right: left + long,
                top: y - size * 0.75,
                bottom: y + size * 0.2,
            }
        });
        Sketch {
            svg,
            width: view[2],
            height: view[3],
            texts: texts.collect(),
        }
    }

    /// How often something occurs.
    pub fn count(&self, what: &str) -> usize {
        self.svg.matches(what).count()
    }
}

/// All text is large enough, inside, and apart.
pub fn check(svg: &str) {
    let sketch = Sketch::of(svg);
    const { assert!(SMALL >= LEAST && LARGE >= LEAST) };
    assert!(!sketch.texts.is_empty());
    for (index, one) in sketch.texts.iter().enumerate() {
        assert!(one.size >= LEAST, "{one:?} is too small");
        let is_inside = one.left >= 0.0 && one.right <= sketch.width && one.top >= 0.0;
        assert!(
            is_inside && one.bottom <= sketch.height,
            "{one:?} sticks out"
        );
        for other in &sketch.texts[..index] {
            let is_apart = one.right <= other.left
                || other.right <= one.left
                || one.bottom <= other.top
                || other.bottom <= one.top;
            assert!(is_apart, "{one:?} lies on {other:?}");
        }
    }
    for tag in svg.split('<').filter_map(|tag| tag.split('>').next()) {
        // XML allows an attribute once.
        assert!(tag.matches(" class=").count() <= 1, "{tag}");
    }
    let drawn = svg.split(" d=\"M").skip(1);
    for path in drawn.filter(|path| !path.contains("translate(")) {
        let path = path.split_once('"').expect("an end").0;
        let first = path.split(['L', 'V', 'H', 'a']).next().unwrap_or_default();
        let place: Vec<f64> = first
            .split(' ')
            .filter_map(|side| side.parse().ok())
            .collect();
        if let [x, y] = place[..] {
            let is_inside = (0.0..=sketch.width).contains(&x) && (0.0..=sketch.height).contains(&y);
            assert!(is_inside, "{path} sticks out");
        }
    }
}
