//! Line charts as SVG: one line per series over a few steps, with the spread of the measurements at
//! each point.
//!
//! The steps have even distances, whatever their numbers, so 0 fits beside 15,000. They are few,
//! and each is labelled, so the distances are not mistaken for a scale.

use crate::Outcome;
use crate::chart::{Canvas, colour, write};
use crate::page::figure;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

const WIDTH: i32 = 860;
const HEIGHT: i32 = 430;
const LEFT: i32 = 76;
const RIGHT: i32 = 160;
const TOP: i32 = 62;
const BOTTOM: i32 = 56;

/// About how many lines the grid has.
const GRID_LINES: f64 = 6.0;

/// A chart.
pub struct Lines<'a> {
    pub title: &'a str,
    /// The meaning of a point's height.
    pub measure: &'a str,
    /// The meaning of the steps.
    pub steps_are: &'a str,
    pub steps: &'a [u64],
    pub series: &'a [Line],
    /// Each line of the grid is ten times the one before.
    pub logarithmic: bool,
}

/// One series.
pub struct Line {
    pub name: String,
    /// Its colour and mark, the same in all plots.
    pub kind: usize,
    /// A point for each step that has one.
    pub points: Vec<Option<Point>>,
}

/// The measurements at one step.
#[derive(Clone, Copy)]
pub struct Point {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

/// Maps a value to a height.
struct Scale {
    logarithmic: bool,
    low: f64,
    high: f64,
    /// The values of the grid's lines.
    grid: Vec<f64>,
}

impl Scale {
    fn over(series: &[Line], logarithmic: bool) -> Scale {
        let points = || series.iter().flat_map(|line| line.points.iter().flatten());
        let greatest = points().map(|point| point.greatest).fold(0.0, f64::max);
        if logarithmic {
            let least = points()
                .map(|point| point.least)
                .filter(|value| *value > 0.0);
            let low = least.fold(f64::INFINITY, f64::min).log10().floor();
            let low = if low.is_finite() { low } else { 0.0 };
            let high = greatest
                .max(f64::MIN_POSITIVE)
                .log10()
                .ceil()
                .max(low + 1.0);
            let grid = (low as i32..=high as i32).map(|power| 10f64.powi(power));
            return Scale {
                logarithmic,
                low,
                high,
                grid: grid.collect(),
            };
        }
        let greatest = if greatest > 0.0 { greatest } else { 1.0 };
        let rough = greatest / GRID_LINES;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
        let step = step
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let count = (greatest / step).ceil();
        Scale {
            logarithmic,
            low: 0.0,
            high: count * step,
            grid: (0..=count as i32)
                .map(|line| f64::from(line) * step)
                .collect(),
        }
    }

    fn y(&self, value: f64) -> i32 {
        let value = match self.logarithmic {
            true if value <= 0.0 => self.low,
            true => value.log10(),
            false => value,
        };
        let part = (value - self.low) / (self.high - self.low);
        HEIGHT - BOTTOM - (part * f64::from(HEIGHT - TOP - BOTTOM)) as i32
    }
}

impl Lines<'_> {
    /// # Errors
    /// Errors of drawing.
    pub fn svg(&self) -> Outcome<String> {
        let mut svg = String::new();
        {
            let canvas = SVGBackend::with_string(&mut svg, (WIDTH as u32, HEIGHT as u32))
                .into_drawing_area();
            canvas.fill(&WHITE)?;
            self.draw(&canvas)?;
            canvas.present()?;
        }
        Ok(svg)
    }

    fn draw(&self, canvas: &Canvas<'_>) -> Outcome<()> {
        write(canvas, self.title, (16, 18), 17, HPos::Left)?;
        write(canvas, self.measure, (16, 39), 13, HPos::Left)?;
        let scale = Scale::over(self.series, self.logarithmic);
        for value in &scale.grid {
            let y = scale.y(*value);
            let across = vec![(LEFT, y), (WIDTH - RIGHT, y)];
            canvas.draw(&PathElement::new(across, BLACK.mix(0.15)))?;
            write(canvas, &short(*value), (LEFT - 8, y), 12, HPos::Right)?;
        }
        for (index, step) in self.steps.iter().enumerate() {
            let name = figure_of_step(*step);
            write(
                canvas,
                &name,
                (self.x(index), HEIGHT - BOTTOM + 16),
                12,
                HPos::Center,
            )?;
        }
        let middle = (LEFT + WIDTH - RIGHT) / 2;
        write(
            canvas,
            self.steps_are,
            (middle, HEIGHT - 16),
            13,
            HPos::Center,
        )?;
        for (index, line) in self.series.iter().enumerate() {
            self.draw_line(canvas, line, index, &scale)?;
            let y = TOP + 8 + 22 * index as i32;
            draw_mark(canvas, (WIDTH - RIGHT + 22, y), line.kind)?;
            write(canvas, &line.name, (WIDTH - RIGHT + 34, y), 13, HPos::Left)?;
        }
        Ok(())
    }

    fn draw_line(
        &self,
        canvas: &Canvas<'_>,
        line: &Line,
        index: usize,
        scale: &Scale,
    ) -> Outcome<()> {
        let ink = colour(line.kind);
        // Spreads at the same step are drawn side by side.
        let aside = index as i32 - self.series.len() as i32 / 2;
        let mut path: Vec<(i32, i32)> = Vec::new();
        for (step, point) in line.points.iter().enumerate() {
            let Some(point) = point else { continue };
            let at = (self.x(step), scale.y(point.median));
            let spread = vec![
                (at.0 + aside, scale.y(point.least)),
                (at.0 + aside, scale.y(point.greatest)),
            ];
            canvas.draw(&PathElement::new(spread, ink.mix(0.5)))?;
            draw_mark(canvas, at, line.kind)?;
            path.push(at);
        }
        if path.len() > 1 {
            canvas.draw(&PathElement::new(path, ink.stroke_width(2)))?;
        }
        Ok(())
    }

    fn x(&self, step: usize) -> i32 {
        let width = WIDTH - LEFT - RIGHT;
        let count = self.steps.len() as i32;
        LEFT + width * (2 * step as i32 + 1) / (2 * count)
    }
}

/// Marks also differ in form, for readers who see no colours.
fn draw_mark(canvas: &Canvas<'_>, at: (i32, i32), kind: usize) -> Outcome<()> {
    let ink = colour(kind).filled();
    match kind % 4 {
        0 => canvas.draw(&Circle::new(at, 4, ink))?,
        1 => canvas.draw(&Rectangle::new(
            [(at.0 - 4, at.1 - 4), (at.0 + 4, at.1 + 4)],
            ink,
        ))?,
        2 => canvas.draw(&TriangleMarker::new(at, 5, ink))?,
        _ => canvas.draw(&Cross::new(at, 4, colour(kind).stroke_width(2)))?,
    }
    Ok(())
}

/// Formats the number of a step.
pub fn figure_of_step(step: u64) -> String {
    match step {
        0..1000 => step.to_string(),
        _ => figure(Some(step as f64)),
    }
}

/// Formats a number of the grid.
fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        1e9.. => format!("{} G", value / 1e9),
        1e6.. => format!("{} M", value / 1e6),
        1e3.. => format!("{} k", value / 1e3),
        // Sums of steps such as 0.2 have rounding errors.
        _ => format!("{}", (value * 1e6).round() / 1e6),
    }
}
