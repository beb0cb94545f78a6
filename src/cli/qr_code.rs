//! A URL as a QR code for the camera of a phone, drawn with half blocks: a character shows two
//! modules, one above the other.

use fast_qr::{ECL, QRBuilder, QRCode};

/// The light modules around the code (ISO/IEC 18004 section 5.3.8 asks for four).
const QUIET_ZONE: usize = 4;

/// The lines of the terminal that are left to others: the prompt, the URLs, how to stop.
const OTHER_LINES: usize = 5;

const INDENT: &str = "  ";

/// Black on white in colours that no theme changes, so that the code is dark on light on a dark
/// terminal, too.
const COLOURS: &str = "\x1b[38;5;16;48;5;231m";
const NO_COLOURS: &str = "\x1b[0m";

/// A code that can be drawn.
pub(super) struct QrCode(QRCode);

impl QrCode {
    /// The code of a text. `None` if it is too long for one.
    pub fn new(text: &str) -> Option<QrCode> {
        // A screen is a clean picture: the least redundancy makes the smallest code.
        QRBuilder::new(text).ecl(ECL::L).build().ok().map(QrCode)
    }

    /// The modules of a side, with the quiet zone.
    fn side(&self) -> usize {
        self.0.size + 2 * QUIET_ZONE
    }

    /// True if a terminal of so many columns and rows shows the code as a whole.
    pub fn fits(&self, (columns, rows): (usize, usize)) -> bool {
        let (width, height) = (self.side() + INDENT.len(), self.side().div_ceil(2));
        width <= columns && height + OTHER_LINES <= rows
    }

    /// The code as lines for a terminal.
    pub fn to_text(&self) -> String {
        let is_dark = |x: usize, y: usize| {
            let inside = QUIET_ZONE..QUIET_ZONE + self.0.size;
            inside.contains(&x)
                && inside.contains(&y)
                && self.0[y - QUIET_ZONE][x - QUIET_ZONE].value()
        };
        let mut text = String::new();
        for y in (0..self.side()).step_by(2) {
            text += INDENT;
            text += COLOURS;
            text.extend(
                (0..self.side()).map(|x| match (is_dark(x, y), is_dark(x, y + 1)) {
                    (false, false) => ' ',
                    (true, false) => '\u{2580}',
                    (false, true) => '\u{2584}',
                    (true, true) => '\u{2588}',
                }),
            );
            text += NO_COLOURS;
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_quiet_zone_and_fits_an_ordinary_terminal() {
        let code = QrCode::new("http://192.168.100.200:65535/").expect("short");
        let text = code.to_text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((code.side(), lines.len()), (33, 17));
        for line in &lines {
            let modules = line.trim_start().trim_start_matches(COLOURS);
            let modules: Vec<_> = modules.trim_end_matches(NO_COLOURS).chars().collect();
            assert_eq!(modules.len(), 33);
            assert!(modules[..4].iter().chain(&modules[29..]).all(|c| *c == ' '));
        }
        for line in [&lines[0], &lines[1], &lines[15], &lines[16]] {
            assert!(!line.contains(['\u{2588}', '\u{2580}']), "{line}");
        }
        assert!(code.fits((80, 24)) && code.fits((35, 22)));
        assert!(!code.fits((34, 24)) && !code.fits((80, 21)));
        assert!(QrCode::new(&"x".repeat(4000)).is_none());
    }
}
