//! Charts as SVG, readable on a phone and in the dark.
//!
//! A chart is drawn [`WIDTH`] units wide, about the width of a phone, with text of at least
//! [`SMALL`] units. So its text is never below 12 pixels there, and a wide page shows two charts
//! beside each other. Colours are classes, so that one style sheet serves light and dark.
//!
//! - [`palette`]: the colour and the mark of each contestant
//! - [`scale`]: from values to places, and the ticks of an axis
//! - [`text`]: the width of text, lines of it, and labels that give way to each other
//! - [`format`]: numbers as people read them
//! - [`lines`]: lines over steps
//! - [`bars`]: bars, one for each contestant

pub mod bars;
pub mod format;
pub mod lines;
pub mod palette;
pub mod scale;
#[cfg(test)]
pub mod sketch;
pub mod text;

use maud::{Markup, PreEscaped, html};
use palette::Look;

/// The width of a chart.
pub const WIDTH: f64 = 366.0;

/// The size of all text but the title.
pub const SMALL: f64 = 13.0;

/// The size of a title.
pub const LARGE: f64 = 15.0;

/// The height of a line of text.
pub const LEADING: f64 = 16.0;

/// The width of a file's picture where a page does not say another one, in pixels.
const NATURAL_WIDTH: f64 = 400.0;

/// Colours that are no contestant's: light, then dark.
const PAPER: [&str; 2] = ["#ffffff", "#12161c"];
const INK: [&str; 2] = ["#1b1f24", "#e6e9ee"];
const SOFT: [&str; 2] = ["#57606a", "#a3adb8"];
const GRID: [&str; 2] = ["#d8dee4", "#333b45"];

/// A drawn chart.
pub struct Drawing {
    pub height: f64,
    pub content: Markup,
    /// What the drawing shows, for readers who do not see it.
    pub label: String,
    /// The looks in use.
    pub looks: Vec<&'static Look>,
}

impl Drawing {
    /// A part of a page of HTML. The page has the [`style`].
    pub fn inline(&self) -> Markup {
        let view = format!("0 0 {WIDTH} {:.0}", self.height);
        html! {
            svg.chart viewBox=(view) role="group" aria-label=(self.label) font-size=(SMALL) { (self.content) }
        }
    }

    /// A file.
    pub fn file(&self) -> String {
        let view = format!("0 0 {WIDTH} {:.0}", self.height);
        let height = format!("{:.0}", self.height * NATURAL_WIDTH / WIDTH);
        let style = style(&self.looks, "svg");
        html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(view) width=(NATURAL_WIDTH) height=(height) role="img"
                aria-label=(self.label) font-size=(SMALL) {
                style { (PreEscaped(style)) }
                rect.paper width="100%" height="100%" {}
                (self.content)
            }
        }
        .into_string()
            + "\n"
    }
}

/// The style of charts with these looks, below `root`.
pub fn style(looks: &[&Look], root: &str) -> String {
    let theme = |dark: usize| {
        let mut rules = format!(
            "{root} text{{fill:{ink}}}{root} .soft{{fill:{soft}}}{root} .grid{{stroke:{grid}}}{root} .axis{{stroke:{soft}}}\
             {root} .paper,{root} .hollow{{fill:{paper}}}\
             {root} .halo{{stroke:{paper};stroke-width:4px;paint-order:stroke}}",
            ink = INK[dark],
            soft = SOFT[dark],
            grid = GRID[dark],
            paper = PAPER[dark],
        );
        for look in looks {
            let colour = look.colour[dark];
            rules += &format!(".{class}{{color:{colour}}}", class = look.class);
        }
        // Stronger than the rule for text.
        rules + &format!("{root} .name{{fill:currentColor}}")
    };
    let (light, dark) = (theme(0), theme(1));
    format!(
        "{root}{{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}}\
         {root} .title,{root} .strong{{font-weight:600}}{light}@media(prefers-color-scheme:dark){{{dark}}}"
    )
}

/// Text that begins, ends or has its middle at a place; `anchor` says which. Its height is centred.
fn text(class: &str, anchor: &str, (x, y): (f64, f64), words: &str) -> Markup {
    html! {
        text class=(class) x=(short(x)) y=(short(y + SMALL * 0.36)) text-anchor=(anchor) { (words) }
    }
}

/// The title and the meaning of the values, and the height they take.
fn heading(title: &str, measure: &str) -> (Markup, f64) {
    let titles = text::wrap(title, WIDTH - 16.0, LARGE);
    let measures = text::wrap(measure, WIDTH - 16.0, SMALL);
    let below = 12.0 + 19.0 * titles.len() as f64;
    let content = html! {
        @for (index, line) in titles.iter().enumerate() {
            text.title x="8" y=(22 + 19 * index) font-size=(LARGE) { (line) }
        }
        @for (index, line) in measures.iter().enumerate() {
            (text("soft", "start", (8.0, below + LEADING * (index as f64 + 0.5)), line))
        }
    };
    (content, below + LEADING * measures.len() as f64)
}

/// A coordinate with at most one digit after the point.
fn short(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

/// A line from one place to another.
fn line(class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> Markup {
    let path = format!("M{} {}L{} {}", short(x1), short(y1), short(x2), short(y2));
    html! { path class=(class) d=(path) fill="none" {} }
}
