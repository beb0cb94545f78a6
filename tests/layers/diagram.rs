//! Draws the diagram of the modules from the table `LAYERS`.

use super::docs::check_picture;
use super::imports::LAYERS;
use std::fmt::Write;

/// The size of a module's box and the distance to the next, in pixels.
const BOX: (usize, usize) = (88, 28);
const PITCH: (usize, usize) = (112, 70);

/// The margin in pixels.
const MARGIN: usize = 12;

/// The imports of a module, without itself.
fn imports(module: &str) -> &'static [&'static str] {
    let row = LAYERS.iter().find(|(name, _)| *name == module);
    row.map_or(&[], |(_, imports)| imports)
}

/// The length of the longest chain of imports below a module.
fn height(module: &str) -> usize {
    let below = imports(module).iter().map(|one| height(one) + 1);
    below.max().unwrap_or(0)
}

fn reaches(from: &str, to: &str) -> bool {
    from == to || imports(from).iter().any(|one| reaches(one, to))
}

/// The imports that no other import reaches. The others are not drawn.
fn drawn(module: &str) -> impl Iterator<Item = &'static str> {
    let all = imports(module);
    let is_direct = move |to: &&&str| !all.iter().any(|via| via != *to && reaches(via, to));
    all.iter().filter(is_direct).copied()
}

/// The upper left corner of a module's box.
fn place(module: &str) -> (usize, usize) {
    let row = height(module);
    let top = LAYERS.iter().map(|(name, _)| height(name)).max();
    let in_row = |row| LAYERS.iter().filter(move |(name, _)| height(name) == row);
    let widest = (0..LAYERS.len()).map(|row| in_row(row).count()).max();
    let index = in_row(row).position(|(name, _)| *name == module);
    let indent = (widest.unwrap_or(0) - in_row(row).count()) * PITCH.0 / 2;
    let x = MARGIN + indent + index.unwrap_or(0) * PITCH.0;
    (x, MARGIN + (top.unwrap_or(0) - row) * PITCH.1)
}

fn picture() -> String {
    let places = LAYERS.iter().map(|(name, _)| place(name));
    let (right, bottom) = places.fold((0, 0), |(x, y), (a, b)| (x.max(a), y.max(b)));
    let (width, height) = (right + BOX.0 + MARGIN, bottom + BOX.1 + MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"The modules\" font-family=\"sans-serif\" \
         font-size=\"13\" style=\"background:#fff\">\n"
    );
    for (name, _) in LAYERS {
        let (x, y) = place(name);
        for to in drawn(name) {
            let (to_x, to_y) = place(to);
            let (from_x, from_y) = (x + BOX.0 / 2, y + BOX.1);
            writeln!(
                svg,
                "<path d=\"M{from_x} {from_y}L{} {to_y}\" stroke=\"#8a94a3\"/>",
                to_x + BOX.0 / 2
            )
            .expect("writing to a string");
        }
    }
    for (name, _) in LAYERS {
        let (x, y) = place(name);
        writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"6\" fill=\"#f4f6f8\" stroke=\"#444\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{name}</text>",
            BOX.0,
            BOX.1,
            x + BOX.0 / 2,
            y + 19
        )
        .expect("writing to a string");
    }
    svg + "</svg>\n"
}

#[test]
fn the_module_diagram_matches_the_table() {
    check_picture("docs/modules.svg", &picture());
}
