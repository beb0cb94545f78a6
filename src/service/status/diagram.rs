//! Draws the states of a session and the transitions between them as SVG, from the table in the
//! code.
//!
//! The usual states are one below the other, joined by straight arrows. All others stand to the
//! right of them.

use crate::session::{ACCEPTED, CLOSED, Transition};
use maud::{Markup, html};

/// The size of a state's box, and the distance from the top of one box to the next, in pixels.
const BOX: (i32, i32) = (128, 26);
const PITCH: i32 = 40;

/// The room to the left of the boxes, between the columns, and to the right, for curves.
const LEFT: i32 = 42;
const GAP: i32 = 80;
const RIGHT: i32 = 34;

/// The length of an arrowhead. A line ends where its head begins.
const HEAD: i32 = 9;

/// The distance of an arrow from the middle of a box's side, where arrows come and go.
const PORT: i32 = 6;

/// The distance of two opposite arrows from the middle between them.
const APART: i32 = 16;

/// The states of a service in their order, and which of them are usual.
struct Layout {
    states: Vec<&'static str>,
    usual: Vec<&'static str>,
}

/// An arrow: its path, and where the text with its count stands.
struct Arrow {
    path: String,
    text: (i32, i32),
    anchor: &'static str,
}

/// Draws a service. Each transition has a group with `data-from` and `data-to`, in which a text is
/// for its count; each state has a group with `data-state`.
///
/// Only transitions in the table are drawn: that a client may disconnect in any state is left out.
pub fn diagram(service: &str, steps: &[Transition]) -> String {
    let layout = Layout::new(steps);
    let rows = layout.states.len() as i32;
    let has_others = layout.usual.len() < layout.states.len();
    let width = match has_others {
        true => LEFT + BOX.0 + GAP + BOX.0 + RIGHT,
        false => LEFT + BOX.0 + RIGHT,
    };
    let height = rows * PITCH - (PITCH - BOX.1) + 4;
    let id = format!("arrow-{service}");
    let picture = html! {
        svg class="diagram" xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (width) " " (height) }
            width=(width) height=(height) role="img" aria-label={ "The states of " (service) } {
            defs {
                marker id=(id) viewBox="0 0 9 12" refX="0" refY="6" markerWidth=(HEAD) markerHeight="12"
                    markerUnits="userSpaceOnUse" orient="auto" {
                    path d="M0 1 9 6 0 11z" fill="currentColor" {}
                }
            }
            @for step in steps {
                (draw(*step, &layout.arrow(*step, steps), &id))
            }
            @for (row, state) in layout.states.iter().enumerate() {
                @let (x, y) = (layout.left(state), top(row as i32));
                g data-state=(state) {
                    rect x=(x) y=(y) width=(BOX.0) height=(BOX.1) rx="6" fill="none" stroke="currentColor" {}
                    text x=(x + BOX.0 / 2) y=(y + 17) text-anchor="middle" font-size="12" fill="currentColor" {
                        (state)
                    }
                }
            }
        }
    };
    picture.into_string()
}

fn top(row: i32) -> i32 {
    2 + row * PITCH
}

impl Layout {
    fn new(steps: &[Transition]) -> Layout {
        let mut states: Vec<&'static str> = Vec::new();
        for (from, to) in steps {
            for state in [from, to] {
                if !states.contains(state) && *state != CLOSED {
                    states.push(state);
                }
            }
        }
        states.push(CLOSED);
        let mut usual = vec![ACCEPTED];
        while let Some(next) = usual.last().and_then(|last| usual_step(steps, last)) {
            if usual.contains(&next) {
                break;
            }
            usual.push(next);
        }
        if !usual.contains(&CLOSED) {
            usual.push(CLOSED);
        }
        usual.retain(|state| states.contains(state));
        Layout { states, usual }
    }

    fn row(&self, state: &str) -> i32 {
        let place = self.states.iter().position(|one| *one == state);
        place.unwrap_or(0) as i32
    }

    fn is_usual(&self, state: &str) -> bool {
        self.usual.contains(&state)
    }

    /// The left edge of a state's box.
    fn left(&self, state: &str) -> i32 {
        match self.is_usual(state) {
            true => LEFT,
            false => LEFT + BOX.0 + GAP,
        }
    }

    /// True if no other state of their column stands between two states.
    fn are_neighbours(&self, (one, other): Transition) -> bool {
        let (low, high) = (
            self.row(one).min(self.row(other)),
            self.row(one).max(self.row(other)),
        );
        let mut between = self.states[low as usize + 1..high as usize].iter();
        !between.any(|state| self.is_usual(state) == self.is_usual(one))
    }

    fn arrow(&self, step: Transition, steps: &[Transition]) -> Arrow {
        let (from, to) = step;
        match (self.is_usual(from), self.is_usual(to)) {
            (one, other) if one == other => match self.are_neighbours(step) {
                true => self.straight(step, steps.contains(&(to, from))),
                false => self.curve_outside(step),
            },
            (is_usual, _) => self.curve_across(step, is_usual),
        }
    }

    /// From one box straight to the next one of its column.
    fn straight(&self, (from, to): Transition, has_opposite: bool) -> Arrow {
        let (from_y, to_y) = (top(self.row(from)), top(self.row(to)));
        let middle = self.left(from) + BOX.0 / 2;
        let is_down = from_y < to_y;
        let (begin, end) = match is_down {
            true => (from_y + BOX.1, to_y - HEAD),
            false => (from_y, to_y + BOX.1 + HEAD),
        };
        let (x, text, anchor) = match (has_opposite, is_down) {
            (false, _) => (middle, middle + 7, "start"),
            (true, true) => (middle - APART, middle - APART - 7, "end"),
            (true, false) => (middle + APART, middle + APART + 7, "start"),
        };
        Arrow {
            path: format!("M{x} {begin}V{end}"),
            text: (text, i32::midpoint(begin, end) + 4),
            anchor,
        }
    }

    /// From one box around others of its column to another one.
    fn curve_outside(&self, (from, to): Transition) -> Arrow {
        let (edge, outwards) = match self.is_usual(from) {
            true => (LEFT, -1),
            false => (self.left(from) + BOX.0, 1),
        };
        let (from_y, to_y) = self.ports((from, to));
        let bend = (18 + 3 * (from_y - to_y).abs() / PITCH).min(44) * outwards;
        let end = edge + outwards * HEAD;
        Arrow {
            path: format!(
                "M{edge} {from_y}C{} {from_y} {} {to_y} {end} {to_y}",
                edge + bend,
                end + bend
            ),
            text: (
                edge + (bend * 3 + outwards * HEAD) / 4,
                i32::midpoint(from_y, to_y) + 4,
            ),
            anchor: "middle",
        }
    }

    /// From one column to the other.
    fn curve_across(&self, (from, to): Transition, is_outwards: bool) -> Arrow {
        let (from_y, to_y) = self.ports((from, to));
        let (left, right) = (LEFT + BOX.0, LEFT + BOX.0 + GAP);
        let (begin, end) = match is_outwards {
            true => (left, right - HEAD),
            false => (right, left + HEAD),
        };
        let middle = i32::midpoint(begin, end);
        Arrow {
            path: format!("M{begin} {from_y}C{middle} {from_y} {middle} {to_y} {end} {to_y}"),
            text: (middle, i32::midpoint(from_y, to_y) + 4),
            anchor: "middle",
        }
    }

    /// The heights at which an arrow leaves the side of one box and reaches that of another one.
    fn ports(&self, (from, to): Transition) -> (i32, i32) {
        let middle = |state| top(self.row(state)) + BOX.1 / 2;
        (middle(from) + PORT, middle(to) - PORT)
    }
}

/// The usual next state: the last one of the first steps from a state that follow each other in the
/// table.
fn usual_step(steps: &[Transition], state: &str) -> Option<&'static str> {
    let from_it = steps.iter().skip_while(|(from, _)| *from != state);
    let of_run = from_it.take_while(|(from, _)| *from == state);
    of_run.last().map(|(_, to)| *to)
}

fn draw((from, to): Transition, arrow: &Arrow, marker: &str) -> Markup {
    html! {
        g class="step" data-from=(from) data-to=(to) {
            path d=(arrow.path) fill="none" stroke="currentColor" stroke-opacity=".55"
                marker-end={ "url(#" (marker) ")" } {}
            text x=(arrow.text.0) y=(arrow.text.1) text-anchor=(arrow.anchor) font-size="11"
                fill="currentColor" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Transition] = &[
        (ACCEPTED, "refusing"),
        (ACCEPTED, "reading"),
        ("reading", "looking up"),
        ("reading", "writing"),
        ("looking up", "writing"),
        ("writing", "idle"),
        ("idle", "looking up"),
        ("idle", "writing"),
        ("writing", "reading"),
        ("writing", CLOSED),
    ];

    #[test]
    fn the_usual_states_are_in_one_column_with_straight_arrows() {
        let layout = Layout::new(STEPS);
        let usual = [ACCEPTED, "reading", "writing", "idle", CLOSED];
        assert_eq!(layout.usual, usual);
        let path = |step| layout.arrow(step, STEPS).path;
        for step in [
            (ACCEPTED, "reading"),
            ("reading", "writing"),
            ("writing", "idle"),
        ] {
            assert!(path(step).contains('V'), "{step:?}: {}", path(step));
        }
        let x = |step| path(step).split(' ').next().map(str::to_owned);
        assert_ne!(
            x(("writing", "idle")),
            x(("idle", "writing")),
            "side by side"
        );
        assert!(path(("writing", CLOSED)).contains('C'));
        assert!(path(("idle", "looking up")).contains('C'));
    }

    #[test]
    fn each_state_and_transition_has_an_element_for_its_count() {
        let picture = diagram("x", STEPS);
        assert_eq!(picture.matches("data-state=").count(), 7);
        assert_eq!(picture.matches("data-from=").count(), STEPS.len());
        assert!(picture.contains(r#"data-from="writing" data-to="closed""#));
    }
}
