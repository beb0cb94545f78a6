//! Bar charts as SVG: groups of bars, one bar per series, with their values.

use crate::Outcome;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const WIDTH: i32 = 860;
const LEFT: i32 = 190;
const RIGHT: i32 = 60;
const TOP: i32 = 78;
const BAR: i32 = 15;
const GAP: i32 = 14;

/// Colours that colour-blind readers can tell apart (Okabe and Ito).
const COLOURS: &[RGBColor] = &[
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(120, 120, 120),
    RGBColor(0, 0, 0),
];

/// A chart.
pub struct Chart<'a> {
    pub title: &'a str,
    /// The meaning of a bar's length.
    pub measure: &'a str,
    pub series: &'a [&'a str],
    /// The groups: a name, and a value for each series that has one.
    pub groups: &'a [(String, Vec<Option<f64>>)],
    /// The value of a line across all bars.
    pub mark: f64,
    /// Longer bars are cut here, so that one bar does not shrink all others.
    pub limit: f64,
}

pub(super) type Canvas<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

impl Chart<'_> {
    /// # Errors
    /// Errors of drawing.
    pub fn svg(&self) -> Outcome<String> {
        let bars: usize = self
            .groups
            .iter()
            .map(|(_, values)| values.iter().flatten().count())
            .sum();
        let height = TOP + bars as i32 * BAR + self.groups.len() as i32 * GAP + GAP;
        let mut svg = String::new();
        {
            let canvas = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32))
                .into_drawing_area();
            canvas.fill(&WHITE)?;
            self.draw(&canvas, height)?;
            canvas.present()?;
        }
        Ok(svg)
    }

    fn draw(&self, canvas: &Canvas<'_>, height: i32) -> Outcome<()> {
        write(canvas, self.title, (16, 18), 17, HPos::Left)?;
        write(canvas, self.measure, (16, 39), 13, HPos::Left)?;
        self.draw_legend(canvas)?;
        let greatest = self
            .groups
            .iter()
            .flat_map(|(_, values)| values.iter().flatten());
        let greatest = greatest.copied().fold(self.mark, f64::max).min(self.limit);
        let scale = f64::from(WIDTH - LEFT - RIGHT) / greatest;
        let place = |value: f64| LEFT + (value.min(greatest) * scale) as i32;
        let mut y = TOP + GAP;
        for (name, values) in self.groups {
            write(canvas, name, (LEFT - 8, y + BAR / 2), 13, HPos::Right)?;
            for (index, value) in values.iter().enumerate() {
                let Some(value) = value else { continue };
                let bar = [(LEFT, y), (place(*value), y + BAR - 3)];
                canvas.draw(&Rectangle::new(bar, colour(index).filled()))?;
                let cut = if *value > greatest { "… " } else { "" };
                let shown = format!("{cut}{value:.2}");
                write(
                    canvas,
                    &shown,
                    (place(*value) + 5, y + BAR / 2 - 1),
                    11,
                    HPos::Left,
                )?;
                y += BAR;
            }
            y += GAP;
        }
        let mark = vec![
            (place(self.mark), TOP),
            (place(self.mark), height - GAP / 2),
        ];
        canvas.draw(&PathElement::new(mark, BLACK.mix(0.6)))?;
        Ok(())
    }

    fn draw_legend(&self, canvas: &Canvas<'_>) -> Outcome<()> {
        let mut x = 16;
        for (index, name) in self.series.iter().enumerate() {
            canvas.draw(&Rectangle::new(
                [(x, 55), (x + 12, 67)],
                colour(index).filled(),
            ))?;
            write(canvas, name, (x + 18, 61), 13, HPos::Left)?;
            x += 40 + 8 * name.len() as i32;
        }
        Ok(())
    }
}

/// The colour of a series.
pub(super) fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// Writes text, vertically centred at a point.
pub(super) fn write(
    canvas: &Canvas<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    side: HPos,
) -> Outcome<()> {
    let style = TextStyle::from(("sans-serif", size)).pos(Pos::new(side, VPos::Center));
    Ok(canvas.draw(&Text::new(text.to_owned(), at, style))?)
}
