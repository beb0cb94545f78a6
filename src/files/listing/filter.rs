//! The words that the names in a listing must contain.

use super::natural::Folded;

/// The longest text of a filter, in bytes. A name has at most 255.
const MAX_TEXT: usize = 256;

/// The words that a name must contain, all of them, whatever their case and accents.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    words: Vec<String>,
}

impl Filter {
    /// The words of a text, as far as a name can contain them. `None` without any word.
    pub fn new(text: &str) -> Option<Filter> {
        let end = (0..=text.len().min(MAX_TEXT)).rfind(|end| text.is_char_boundary(*end));
        let text = &text[..end.unwrap_or(0)];
        let words = text
            .split_whitespace()
            .map(|word| Folded::new(word.as_bytes()).collect::<String>());
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        (!words.is_empty()).then(|| Filter {
            text: text.trim().into(),
            words,
        })
    }

    /// The text, for the search field.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// How many words there are.
    pub(super) fn count(&self) -> usize {
        self.words.len()
    }

    /// True if the name contains all words. Uses `folded` as a scratch buffer.
    pub(super) fn matches(&self, name: &[u8], folded: &mut String) -> bool {
        folded.clear();
        folded.extend(Folded::new(name));
        self.words.iter().all(|word| folded.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_names() {
        let cases = [
            ("img", "IMG_0001.jpg", true),
            ("img jpg", "IMG_0001.jpg", true),
            ("jpg  img", "IMG_0001.jpg", true),
            ("img png", "IMG_0001.jpg", false),
            ("\u{c4}RGER", "a\u{308}rger.txt", true),
            ("arger", "\u{c4}rger.txt", true),
            ("a/b", "ab", false),
            ("<b>", "<B>", true),
        ];
        for (text, name, expected) in cases {
            let filter = Filter::new(text).expect("a word");
            let matches = filter.matches(name.as_bytes(), &mut String::new());
            assert_eq!(matches, expected, "{text} in {name}");
        }
        for nothing in ["", "  ", "\u{301}"] {
            assert!(Filter::new(nothing).is_none(), "{nothing:?}");
        }
        let long = "\u{e4}".repeat(1000);
        assert_eq!(Filter::new(&long).expect("a word").text().len(), MAX_TEXT);
    }
}
