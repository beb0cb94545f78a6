//! Draws the states of a session and the transitions between them as SVG, from the table in the
//! code.

use crate::session::{CLOSED, Transition};
use maud::{Markup, html};

/// The size of a state's box, and the distance from the top of one box to the next, in pixels.
const BOX: (i32, i32) = (150, 28);
const PITCH: i32 = 52;

/// The distance between lanes, in pixels. A lane is a vertical line that arrows run along.
const LANE: i32 = 44;

/// A transition and where it is drawn.
struct StepArrow {
    step: Transition,
    from: usize,
    to: usize,
    /// The lane, counted from the boxes; 0 for an arrow straight down.
    lane: usize,
}

/// Draws states from top to bottom, forward transitions on the right, backward ones on the left.
/// Each transition has a text for its count, with `data-from` and `data-to`; each state has a
/// group, with `data-state`.
///
/// Only transitions in the table are drawn: that a client may disconnect in any state is left out.
pub fn diagram(service: &str, steps: &[Transition]) -> String {
    let mut states: Vec<&str> = Vec::new();
    for (from, to) in steps {
        for state in [from, to] {
            if !states.contains(state) && *state != CLOSED {
                states.push(state);
            }
        }
    }
    states.push(CLOSED);
    let (down, up) = arrows(steps, &states);
    let widest = |arrows: &[StepArrow]| arrows.iter().map(|a| a.lane).max().unwrap_or(0) as i32;
    let left = widest(&up) * LANE + 12;
    let width = left + BOX.0 + widest(&down) * LANE + 12;
    let height = states.len() as i32 * PITCH - (PITCH - BOX.1) + 4;
    let id = format!("arrow-{service}");
    let picture = html! {
        svg class="diagram" xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (width) " " (height) }
            width=(width) height=(height) role="img" aria-label={ "The states of " (service) } {
            defs {
                marker id=(id) viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" orient="auto" {
                    path d="M0 0 6 3 0 6z" fill="currentColor" {}
                }
            }
            @for arrow in down.iter().chain(&up) {
                (draw(arrow, left, &id))
            }
            @for (index, state) in states.iter().enumerate() {
                @let y = 2 + index as i32 * PITCH;
                g data-state=(state) {
                    rect x=(left) y=(y) width=(BOX.0) height=(BOX.1) rx="6" fill="none" stroke="currentColor" {}
                    text x=(left + BOX.0 / 2) y=(y + 18) text-anchor="middle" font-size="12" fill="currentColor" {
                        (state)
                    }
                }
            }
        }
    };
    picture.into_string()
}

/// Splits the arrows into forward (down) and backward (up) ones, and gives each the first lane that
/// is free along its whole length, short ones first.
fn arrows(steps: &[Transition], states: &[&str]) -> (Vec<StepArrow>, Vec<StepArrow>) {
    let place = |name: &str| states.iter().position(|state| *state == name).unwrap_or(0);
    let (mut down, mut up) = (Vec::new(), Vec::new());
    for &step in steps {
        let (from, to) = (place(step.0), place(step.1));
        let side = if from < to { &mut down } else { &mut up };
        side.push(StepArrow {
            step,
            from,
            to,
            lane: 0,
        });
    }
    for side in [&mut down, &mut up] {
        side.sort_by_key(|arrow| arrow.from.abs_diff(arrow.to));
        for index in 0..side.len() {
            let (before, rest) = side.split_at_mut(index);
            let arrow = &mut rest[0];
            if arrow.to == arrow.from + 1 {
                continue;
            }
            let ends = |arrow: &StepArrow| (arrow.from.min(arrow.to), arrow.from.max(arrow.to));
            let (begin, end) = ends(arrow);
            let is_free = |lane: &usize| {
                let mut others = before.iter().filter(|other| other.lane == *lane);
                others.all(|other| ends(other).1 <= begin || end <= ends(other).0)
            };
            arrow.lane = (1..).find(is_free).unwrap_or(1);
        }
    }
    (down, up)
}

fn draw(arrow: &StepArrow, left: i32, marker: &str) -> Markup {
    let (lane, top) = (arrow.lane as i32, |index: usize| 2 + index as i32 * PITCH);
    let is_down = arrow.from < arrow.to;
    let (path, x, y) = if lane == 0 {
        let (x, y) = (left + BOX.0 / 2, top(arrow.from) + BOX.1);
        (format!("M{x} {y}V{}", top(arrow.to)), x + 4, y + 16)
    } else {
        // From the lower half of one box to the upper half of another, with round corners.
        let (from, to) = (top(arrow.from) + 20, top(arrow.to) + 8);
        let (edge, outwards) = if is_down {
            (left + BOX.0, 1)
        } else {
            (left, -1)
        };
        let side = edge + outwards * lane * LANE;
        let (corner, down) = (side - outwards * 10, 10 * (to - from).signum());
        let path = format!(
            "M{edge} {from}H{corner}Q{side} {from} {side} {}V{}Q{side} {to} {corner} {to}H{edge}",
            from + down,
            to - down
        );
        (path, side - outwards * 4, i32::midpoint(from, to))
    };
    let anchor = if lane > 0 && is_down { "end" } else { "start" };
    html! {
        path d=(path) fill="none" stroke="currentColor" stroke-opacity=".55" marker-end={ "url(#" (marker) ")" } {}
        text x=(x) y=(y) text-anchor=(anchor) font-size="10" fill="currentColor"
            data-from=(arrow.step.0) data-to=(arrow.step.1) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_arrows_have_different_lanes() {
        let steps = [
            ("a", "b"),
            ("a", "c"),
            ("a", CLOSED),
            ("b", CLOSED),
            ("c", "a"),
        ];
        let (down, up) = arrows(&steps, &["a", "b", "c", CLOSED]);
        let lanes =
            |side: &[StepArrow]| -> Vec<_> { side.iter().map(|a| (a.step, a.lane)).collect() };
        let expected = [
            (("a", "b"), 0),
            (("a", "c"), 1),
            (("b", CLOSED), 2),
            (("a", CLOSED), 3),
        ];
        assert_eq!(lanes(&down), expected);
        assert_eq!(lanes(&up), [(("c", "a"), 1)]);
    }

    #[test]
    fn each_state_and_transition_has_an_element_for_its_count() {
        let picture = diagram("x", &[("a", "b"), ("b", CLOSED)]);
        assert_eq!(picture.matches("data-state=").count(), 3);
        assert_eq!(picture.matches("data-from=").count(), 2);
        assert!(picture.contains(r#"data-from="b" data-to="closed""#));
    }
}
