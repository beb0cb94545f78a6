//! Line charts: one line for each contestant over the steps, with an interval at each point and the
//! name at the line's end.
//!
//! Contestants that measure the same must all stay visible. So each one's points are a little aside
//! of the next one's, and where lines coincide, each is drawn in dashes that leave the others'.

use super::format::{Format, step};
use super::palette::look_of;
use super::scale::Scale;
use super::text::{spread, width, wrap};
use super::{Drawing, LEADING, SMALL, WIDTH, heading, line, short, text};
use maud::{Markup, html};

/// The height of the part with the lines, if the names need no more.
const HEIGHT: f64 = 226.0;

/// The distance between the points of two contestants at the same step.
const ASIDE: f64 = 1.6;

/// Lines that are nearer than this coincide.
const NEAR: f64 = 2.5;

/// The length of a dash of lines that coincide, about.
const DASH: f64 = 6.0;

/// The place for the lines from the points to the names.
const LEADER: f64 = 16.0;

/// The place for the mark before a name.
const BEFORE_NAME: f64 = 10.0;

/// A chart.
pub struct Lines<'a> {
    pub title: &'a str,
    /// The meaning of a point's height, with its unit.
    pub measure: &'a str,
    /// The meaning of the steps.
    pub steps_are: &'a str,
    /// Whether the axis of the values is logarithmic.
    pub logarithmic: bool,
    pub format: &'a Format,
    pub series: &'a [Series],
}

/// One contestant.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub kind: usize,
    /// Drawn stronger, as the others are compared with it.
    pub is_baseline: bool,
    /// In the order of their steps.
    pub points: Vec<Point>,
}

/// The measurements at one step.
#[derive(Clone, Debug)]
pub struct Point {
    pub step: u64,
    pub value: f64,
    /// Where the value lies, or from the least to the greatest sample.
    pub low: f64,
    pub high: f64,
    /// Whether `low` and `high` are an interval.
    pub is_interval: bool,
    /// All that is known of it, in words.
    pub note: String,
}

/// The axes and the places of everything.
struct Layout {
    x: Scale,
    y: Scale,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    steps: Vec<u64>,
}

type Place = (f64, f64);

impl Lines<'_> {
    pub fn draw(&self) -> Drawing {
        let (heading, top) = heading(self.title, &self.measure());
        let layout = self.layout(top + 14.0);
        let steps_are = wrap(&self.steps_are(&layout), WIDTH - 16.0, SMALL);
        let below = layout.bottom + 36.0;
        let content = html! {
            (heading)
            (layout.grid(self.format))
            @for (index, words) in steps_are.iter().enumerate() {
                (text("soft", "middle", (WIDTH / 2.0, below + LEADING * index as f64), words))
            }
            // The baseline lies below the others, which would not be seen below its thick line.
            @for (index, series) in self.series.iter().enumerate().filter(|(_, one)| one.is_baseline) {
                (self.draw_series(index, series, &layout))
            }
            @for (index, series) in self.series.iter().enumerate().filter(|(_, one)| !one.is_baseline) {
                (self.draw_series(index, series, &layout))
            }
            (self.draw_names(&layout))
        };
        Drawing {
            height: below + LEADING * steps_are.len() as f64,
            content,
            label: format!("{}: {}", self.title, self.measure()),
            looks: self
                .series
                .iter()
                .map(|one| look_of(&one.name, one.kind))
                .collect(),
        }
    }

    fn measure(&self) -> String {
        match self.logarithmic {
            true => format!("{}; logarithmic axis", self.measure),
            false => self.measure.to_owned(),
        }
    }

    /// The title of the steps' axis.
    fn steps_are(&self, layout: &Layout) -> String {
        let scale = match (layout.x.is_logarithmic(), layout.x.gap()) {
            (true, Some(_)) => " (logarithmic axis, 0 apart)",
            (true, None) => " (logarithmic axis)",
            _ => "",
        };
        format!("{}{scale}", self.steps_are)
    }

    fn layout(&self, top: f64) -> Layout {
        let points = || self.series.iter().flat_map(|one| &one.points);
        let mut steps: Vec<u64> = points().map(|point| point.step).collect();
        steps.sort_unstable();
        steps.dedup();
        let names = self.series.iter().map(|one| width(&one.name, SMALL));
        let names = names.fold(0.0, f64::max) + LEADER + BEFORE_NAME;
        let height = HEIGHT.max(self.series.len() as f64 * LEADING);
        let bottom = top + height;
        let values = points().flat_map(|point| [point.low, point.value, point.high]);
        let y = match self.logarithmic {
            true => Scale::logarithmic(values, (bottom, top)),
            false => Scale::linear(values, (bottom, top)),
        }
        .rounded();
        let ticks = y.ticks().into_iter();
        let ticks = ticks.map(|tick| width(&self.format.tick(tick), SMALL));
        let left = 12.0 + ticks.fold(0.0, f64::max);
        let right = WIDTH - names - 4.0;
        // The first and the last points have their neighbours aside of them.
        let inner = self.aside(0).abs() + 5.0;
        let place = (left + inner, right - inner);
        Layout {
            x: scale_of_steps(&steps, place),
            y,
            left,
            right,
            top,
            bottom,
            steps,
        }
    }

    /// How far a contestant's points are from where the step is.
    fn aside(&self, index: usize) -> f64 {
        (index as f64 - (self.series.len() as f64 - 1.0) / 2.0) * ASIDE
    }

    fn place(&self, index: usize, point: &Point, layout: &Layout) -> Place {
        let x = layout.x.at(point.step as f64) + self.aside(index);
        (x, layout.y.at(point.value))
    }

    fn draw_series(&self, index: usize, series: &Series, layout: &Layout) -> Markup {
        let look = look_of(&series.name, series.kind);
        let thick = if series.is_baseline { "3" } else { "1.8" };
        html! {
            g.series.(look.class) data-series=(series.name) stroke-linecap="butt" {
                @for pair in series.points.windows(2) {
                    (self.draw_segment(index, pair, thick, layout))
                }
                @for point in &series.points {
                    @let (x, y) = self.place(index, point, layout);
                    (draw_interval(x, point, layout))
                    g.point data-x=(short(x)) data-y=(short(y)) { (look.mark((x, y))) title { (point.note) } }
                }
            }
        }
    }

    /// A line between two points, in dashes if it coincides with others.
    fn draw_segment(&self, index: usize, pair: &[Point], thick: &str, layout: &Layout) -> Markup {
        let ends =
            |index, pair: &[Point]| [&pair[0], &pair[1]].map(|one| self.place(index, one, layout));
        let [from, to] = ends(index, pair);
        let steps = |pair: &[Point]| [pair[0].step, pair[1].step];
        let coincides = |other: usize| {
            self.series[other].points.windows(2).any(|its| {
                let [its_from, its_to] = ends(other, its);
                steps(its) == steps(pair)
                    && (its_from.1 - from.1).abs() < NEAR
                    && (its_to.1 - to.1).abs() < NEAR
            })
        };
        let together: Vec<_> = (0..self.series.len())
            .filter(|other| coincides(*other))
            .collect();
        let path = format!(
            "M{} {}L{} {}",
            short(from.0),
            short(from.1),
            short(to.0),
            short(to.1)
        );
        let dashes = (together.len() > 1).then(|| {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            let count = together.len() as f64;
            let dash = length / count / (length / count / DASH).ceil();
            let place = together.iter().position(|one| *one == index).unwrap_or(0);
            let (rest, begin) = (dash * (count - 1.0), -dash * place as f64);
            (format!("{dash:.2} {rest:.2}"), format!("{begin:.2}"))
        });
        html! {
            @if let Some((dash, begin)) = dashes {
                path d=(path) fill="none" stroke="currentColor" stroke-width=(thick) stroke-dasharray=(dash)
                    stroke-dashoffset=(begin) {}
            } @else {
                path d=(path) fill="none" stroke="currentColor" stroke-width=(thick) {}
            }
        }
    }

    /// Names beside the ends of the lines.
    fn draw_names(&self, layout: &Layout) -> Markup {
        let ends: Vec<_> = self
            .series
            .iter()
            .enumerate()
            .filter_map(|(index, one)| Some((one, self.place(index, one.points.last()?, layout))))
            .collect();
        let wanted: Vec<_> = ends.iter().map(|(_, (_, y))| *y).collect();
        let half = LEADING / 2.0;
        let given = spread(&wanted, LEADING, (layout.top + half, layout.bottom - half));
        html! {
            @for ((series, (x, y)), given) in ends.iter().zip(given) {
                @let look = look_of(&series.name, series.kind);
                @let mark_x = layout.right + LEADER;
                @let is_last = series.points.last().map(|point| point.step) == layout.steps.last().copied();
                g.label.(look.class) data-series=(series.name) {
                    // A line that ends early is led on by dots.
                    path d=(format!(
                        "M{} {}L{} {}L{} {}", short(x + 5.0), short(*y), short(layout.right + 1.0), short(*y),
                        short(mark_x - 6.0), short(given)
                    )) fill="none" stroke="currentColor" stroke-width="0.8"
                        stroke-dasharray=[(!is_last).then_some("1 3")] {}
                    (look.mark((mark_x, given)))
                    (text(
                        if series.is_baseline { "name strong" } else { "name" }, "start",
                        (mark_x + BEFORE_NAME, given), &series.name,
                    ))
                }
            }
        }
    }
}

impl Layout {
    fn grid(&self, format: &Format) -> Markup {
        let ticks = self.y.ticks();
        html! {
            @for tick in &ticks {
                @let y = self.y.at(*tick);
                (line("grid", (self.left, y), (self.right, y)))
                (text("soft", "end", (self.left - 6.0, y), &format.tick(*tick)))
            }
            (line("axis", (self.left, self.bottom), (self.right, self.bottom)))
            @if let Some(y) = self.y.gap() { (broken((self.left, y), false)) }
            @if let Some(x) = self.x.gap() { (broken((x, self.bottom), true)) }
            @for (step, x) in &self.step_names() {
                (text("soft", "middle", (*x, self.bottom + 14.0), step))
            }
            @for step in &self.steps {
                @let x = self.x.at(*step as f64);
                (line("axis", (x, self.bottom), (x, self.bottom + 4.0)))
            }
        }
    }

    /// The names of the steps that have room: the last one, and of the others as many as fit.
    fn step_names(&self) -> Vec<(String, f64)> {
        let named = |step_: &u64| (step(*step_ as f64), self.x.at(*step_ as f64));
        let all: Vec<_> = self.steps.iter().map(named).collect();
        let mut kept: Vec<(String, f64)> = Vec::new();
        let fits = |a: &(String, f64), b: &(String, f64)| {
            let room = (a.1 - b.1).abs() - (width(&a.0, SMALL) + width(&b.0, SMALL)) / 2.0;
            room >= 5.0
        };
        for one in all.last().into_iter().chain(&all) {
            if kept.iter().all(|other| fits(one, other)) {
                kept.push(one.clone());
            }
        }
        kept
    }
}

/// A logarithmic axis if it sets the nearest steps further apart, and a linear one with 0 otherwise.
fn scale_of_steps(steps: &[u64], place: (f64, f64)) -> Scale {
    let values = || steps.iter().map(|step| *step as f64);
    let linear = Scale::linear(values(), place).tight(values().fold(0.0, f64::max));
    let logarithmic = Scale::logarithmic(values(), place);
    let nearest = |scale: &Scale| {
        let places: Vec<_> = values().map(|step| scale.at(step)).collect();
        let distances = places.windows(2).map(|pair| pair[1] - pair[0]);
        distances.fold(f64::INFINITY, f64::min)
    };
    match steps.len() > 2 && nearest(&logarithmic) > nearest(&linear) {
        true => logarithmic,
        false => linear,
    }
}

/// Two strokes through an axis at its break.
fn broken((x, y): Place, across: bool) -> Markup {
    let strokes = [-2.0, 2.0].map(|aside| match across {
        true => ((x + aside - 2.0, y + 5.0), (x + aside + 2.0, y - 5.0)),
        false => ((x - 5.0, y + aside + 2.0), (x + 5.0, y + aside - 2.0)),
    });
    html! { @for (from, to) in strokes { (line("axis", from, to)) } }
}

/// A thick line for an interval, a thin one for a range.
fn draw_interval(x: f64, point: &Point, layout: &Layout) -> Markup {
    let (low, high) = (layout.y.at(point.low), layout.y.at(point.high));
    if low == high {
        return html! {};
    }
    let (thick, opacity) = if point.is_interval {
        ("4", "0.4")
    } else {
        ("1.2", "0.6")
    };
    html! {
        path d=(format!("M{} {}V{}", short(x), short(low), short(high))) stroke="currentColor"
            stroke-width=(thick) stroke-opacity=(opacity) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::sketch::{Sketch, check};

    fn series(name: &str, values: &[(u64, f64)]) -> Series {
        let point = |(step, value): &(u64, f64)| Point {
            step: *step,
            value: *value,
            low: value * 0.9,
            high: value * 1.1,
            is_interval: true,
            note: String::new(),
        };
        Series {
            name: name.to_owned(),
            kind: 0,
            is_baseline: name == "epoll",
            points: values.iter().map(point).collect(),
        }
    }

    fn chart(series: &[Series], logarithmic: bool) -> String {
        Lines {
            title: "Latency beside idle connections, which are many",
            measure: "99th percentile, µs; a request without a response counts with its time; lower is better",
            steps_are: "idle connections",
            logarithmic,
            format: &Format::Time,
            series,
        }
        .draw()
        .file()
    }

    const NAMES: &[&str] = &[
        "blocking",
        "forking",
        "threaded",
        "pool",
        "select",
        "poll",
        "epoll",
        "epoll-workers-2",
        "io-uring",
        "tokio",
        "tokio-multi",
        "another",
    ];

    #[test]
    fn twelve_lines_that_end_together_have_names_that_do_not_overlap() {
        let all: Vec<_> = NAMES
            .iter()
            .map(|name| series(name, &[(0, 100.0), (100, 110.0), (15_000, 120.0)]))
            .collect();
        for logarithmic in [false, true] {
            check(&chart(&all, logarithmic));
        }
    }

    #[test]
    fn lines_that_coincide_share_dashes() {
        let points = [(1, 50.0), (64, 60.0)];
        let svg = chart(&[series("epoll", &points), series("poll", &points)], false);
        let sketch = Sketch::of(&svg);
        assert_eq!(sketch.count("stroke-dashoffset"), 2);
        let apart = [
            series("epoll", &points),
            series("poll", &[(1, 5.0), (64, 6.0)]),
        ];
        assert_eq!(
            Sketch::of(&chart(&apart, false)).count("stroke-dashoffset"),
            0
        );
    }

    #[test]
    fn axes_say_that_they_are_logarithmic() {
        let one = [series("epoll", &[(0, 10.0), (1, 10.0), (1000, 90_000.0)])];
        let svg = chart(&one, true);
        assert!(svg.contains("logarithmic axis, 0 apart"), "the steps");
        assert!(
            svg.contains("lower is better; logarithmic axis")
                || svg.contains("logarithmic axis</text>")
        );
        let even = [series("epoll", &[(0, 10.0), (10, 10.0), (20, 9.0)])];
        assert!(!chart(&even, false).contains("logarithmic"));
    }

    #[test]
    fn steps_of_even_distances_have_a_linear_axis() {
        let is_logarithmic = |steps: &[u64]| scale_of_steps(steps, (0.0, 200.0)).is_logarithmic();
        assert!(!is_logarithmic(&[
            10, 20, 40, 60, 70, 80, 90, 100, 110, 120, 140
        ]));
        assert!(!is_logarithmic(&[0, 10, 20]));
        assert!(!is_logarithmic(&[100, 4000]));
        assert!(is_logarithmic(&[1, 4, 16, 64]));
        assert!(is_logarithmic(&[0, 100, 300, 1000, 2000]));
    }

    #[test]
    fn zeros_on_a_logarithmic_axis_are_drawn_below_its_break() {
        let mut zero = series("poll", &[(1, 0.0), (2, 0.0)]);
        zero.points[0].low = 0.0;
        let svg = chart(&[series("epoll", &[(1, 10.0), (2, 900.0)]), zero], true);
        check(&svg);
    }

    #[test]
    fn a_line_that_ends_early_is_led_to_its_name_by_dots() {
        let early = [
            series("epoll", &[(1, 10.0), (2, 20.0)]),
            series("select", &[(1, 15.0)]),
        ];
        assert_eq!(
            Sketch::of(&chart(&early, false)).count("stroke-dasharray=\"1 3\""),
            1
        );
    }
}
