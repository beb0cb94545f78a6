//! Bar charts: groups of bars, each with its name and its value beside it.
//!
//! On a logarithmic axis a bar's length would mean nothing, so there are only marks.

use super::format::Format;
use super::palette::look_of;
use super::scale::Scale;
use super::text::{width, wrap};
use super::{Drawing, LEADING, SMALL, WIDTH, heading, line, short, text};
use maud::{Markup, html};

const BAR: f64 = 19.0;
const GAP: f64 = 8.0;

/// A chart.
pub struct Bars<'a> {
    pub title: &'a str,
    /// The meaning of a bar's length, with its unit.
    pub measure: &'a str,
    pub logarithmic: bool,
    pub format: &'a Format,
    pub groups: &'a [Group],
    /// The value of a line across all bars.
    pub mark: Option<f64>,
    /// Longer bars are cut here, so that one bar does not shrink all others.
    pub limit: f64,
}

/// Bars below a title, which may be empty.
pub struct Group {
    pub title: String,
    pub bars: Vec<Bar>,
}

/// A bar.
pub struct Bar {
    pub name: String,
    pub kind: usize,
    pub is_baseline: bool,
    pub value: f64,
    /// Where the value lies, or from the least to the greatest sample.
    pub range: Option<(f64, f64)>,
    /// All that is known of it, in words.
    pub note: String,
}

impl Bars<'_> {
    pub fn draw(&self) -> Drawing {
        let measure = match self.logarithmic {
            true => format!("{}; logarithmic axis", self.measure),
            false => self.measure.to_owned(),
        };
        let (heading, top) = heading(self.title, &measure);
        let scale = self.scale();
        let mut y = top + GAP;
        let mut rows = Vec::new();
        for group in self.groups {
            for words in wrap(&group.title, WIDTH - 16.0, SMALL) {
                rows.push(text(
                    "strong halo",
                    "start",
                    (8.0, y + LEADING / 2.0),
                    &words,
                ));
                y += LEADING + 2.0;
            }
            for bar in &group.bars {
                rows.push(self.draw_bar(bar, y + BAR / 2.0, &scale));
                y += BAR;
            }
            y += GAP;
        }
        let content = html! {
            (heading)
            (self.draw_axis(&scale, top + 2.0, y))
            @if let Some(mark) = self.mark {
                (line("axis", (scale.at(mark), top + 2.0), (scale.at(mark), y)))
            }
            @for row in &rows { (row) }
        };
        let bars = || self.groups.iter().flat_map(|group| &group.bars);
        Drawing {
            height: y + LEADING + 6.0,
            content,
            label: format!("{}: {measure}", self.title),
            looks: bars().map(|bar| look_of(&bar.name, bar.kind)).collect(),
        }
    }

    fn scale(&self) -> Scale {
        let bars = || self.groups.iter().flat_map(|group| &group.bars);
        let widest = |widths: &mut dyn Iterator<Item = f64>| widths.fold(0.0, f64::max);
        let names = widest(&mut bars().map(|bar| width(&bar.name, SMALL)));
        let shown = widest(&mut bars().map(|bar| width(&self.shown(bar.value), SMALL)));
        let place = (8.0 + 12.0 + names + 8.0, WIDTH - shown - 14.0);
        let values = bars().flat_map(|bar| {
            let (low, high) = bar.range.unwrap_or((bar.value, bar.value));
            [low, bar.value, high]
        });
        let values = values.map(|value| value.min(self.limit)).chain(self.mark);
        match self.logarithmic {
            true => Scale::logarithmic(values, place).rounded(),
            false => {
                let greatest = values.fold(0.0, f64::max);
                Scale::linear([greatest].into_iter(), place).tight(greatest)
            }
        }
    }

    fn shown(&self, value: f64) -> String {
        let cut = if value > self.limit { "… " } else { "" };
        format!("{cut}{}", self.format.bare(value))
    }

    fn draw_bar(&self, bar: &Bar, y: f64, scale: &Scale) -> Markup {
        let look = look_of(&bar.name, bar.kind);
        let (from, to) = (scale.at(0.0), scale.at(bar.value.min(self.limit)));
        let range = bar.range.map(|(low, high)| (scale.at(low), scale.at(high)));
        let end = range.map_or(to, |(_, high)| high.max(to));
        let name = if bar.is_baseline {
            "name strong"
        } else {
            "name"
        };
        let half = BAR / 2.0 - 3.0;
        html! {
            g.series.(look.class) data-series=(bar.name) {
                (look.mark((14.0, y)))
                (text(name, "start", (24.0, y), &bar.name))
                @if !self.logarithmic {
                    path d=(format!(
                        "M{} {}H{}V{}H{}z", short(from), short(y - half), short(to), short(y + half), short(from)
                    )) fill="currentColor" fill-opacity="0.55" {}
                }
                @if let Some((low, high)) = range {
                    path d=(format!("M{} {}H{}", short(low), short(y), short(high))) stroke="currentColor"
                        stroke-width="3" {}
                }
                g.point data-x=(short(to)) data-y=(short(y)) {
                    @if self.logarithmic { (look.mark((to, y))) }
                    title { (bar.note) }
                }
                (text("halo", "start", (end + 8.0, y), &self.shown(bar.value)))
            }
        }
    }

    /// The grid, and the ticks below it.
    fn draw_axis(&self, scale: &Scale, top: f64, bottom: f64) -> Markup {
        let mut last = f64::NEG_INFINITY;
        let ticks = scale.ticks().into_iter().filter_map(|tick| {
            let (x, words) = (scale.at(tick), self.format.tick(tick));
            let half = width(&words, SMALL) / 2.0;
            let fits = x - half > last + 5.0;
            if fits {
                last = x + half;
            }
            fits.then_some((x, words))
        });
        html! {
            @for (x, words) in ticks {
                (line("grid", (x, top), (x, bottom)))
                (text("soft", "middle", (x, bottom + LEADING / 2.0), &words))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::sketch::{Sketch, check};

    fn bar(name: &str, value: f64) -> Bar {
        Bar {
            name: name.to_owned(),
            kind: 0,
            is_baseline: name == "epoll",
            value,
            range: Some((value * 0.9, value * 1.2)),
            note: String::new(),
        }
    }

    fn chart(logarithmic: bool, limit: f64) -> String {
        let groups = [
            "A file of 1 KiB",
            "A file of 1 MiB, with a title that is rather long for a phone",
        ];
        let groups = groups.map(|title| Group {
            title: title.to_owned(),
            bars: vec![
                bar("epoll", 1.0),
                bar("epoll-workers-2", 3.5),
                bar("forking", 40.0),
            ],
        });
        Bars {
            title: "CPU time per request",
            measure: "in terms of the stub's; lower is better",
            logarithmic,
            format: &Format::Number(String::new()),
            groups: &groups,
            mark: Some(1.0),
            limit,
        }
        .draw()
        .file()
    }

    #[test]
    fn names_and_values_do_not_overlap() {
        check(&chart(false, f64::INFINITY));
        check(&chart(true, f64::INFINITY));
        assert!(chart(true, 50.0).contains("logarithmic axis"));
    }

    #[test]
    fn a_bar_beyond_the_limit_is_cut_and_says_so() {
        let svg = chart(false, 4.0);
        check(&svg);
        assert_eq!(Sketch::of(&svg).count("… 40"), 2);
    }
}
