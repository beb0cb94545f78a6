//! Fields that are lists: all lines of such a field in a head are one list (RFC 9110 section 5.3).

/// A list field of a request. However many lines it has, it takes no memory of its own, and no more than a slice.
///
/// It is the value of the only line, as nearly always; or the field section from the first of its lines on, which, unlike
/// a value, ends in a line feed.
#[derive(Clone, Copy, Debug)]
pub struct List<'a>(&'a [u8]);

impl<'a> List<'a> {
    /// All lines of this name, in any case, in a field section whose lines end in CR LF. There is one at least.
    #[cold]
    pub(super) fn several(name: &str, section: &'a [u8]) -> List<'a> {
        let mut rest = section;
        while let Some((line, after)) = next_line(rest) {
            if named(line).0.eq_ignore_ascii_case(name.as_bytes()) {
                break;
            }
            rest = after;
        }
        List(rest)
    }

    /// The value, if it is one line's.
    pub fn only_line(&self) -> Option<&'a [u8]> {
        (!self.0.ends_with(b"\n")).then_some(self.0)
    }

    /// The values of the lines, in their order.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let one = self.only_line();
        let mut rest: &[u8] = if one.is_some() { b"" } else { self.0 };
        let (name, _) = named(rest);
        let several = std::iter::from_fn(move || {
            loop {
                let (line, after) = next_line(rest)?;
                rest = after;
                let (other, value) = named(line);
                if other.eq_ignore_ascii_case(name) {
                    return Some(value);
                }
            }
        });
        one.into_iter().chain(several)
    }

    /// The members, split at each comma: for lists in which no member can hold one.
    pub fn members(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.lines().flat_map(split)
    }
}

/// The value of one line.
impl<'a> From<&'a [u8]> for List<'a> {
    fn from(value: &'a [u8]) -> List<'a> {
        List(value)
    }
}

/// The first line without its line feed, and what follows it.
fn next_line(section: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', section)?;
    Some((&section[..end], &section[end + 1..]))
}

/// The name that a line begins with, and its value. The empty line has no name.
fn named(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', line) {
        Some(colon) => (&line[..colon], line[colon + 1..].trim_ascii()),
        None => (b"", b""),
    }
}

/// The members of one line, split at each comma (RFC 9110 section 5.6.1). Empty ones do not count.
pub(super) fn split(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&b| b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_name_are_one_list() {
        let section = b"A: 1,, 2\r\nB: x\r\nAA: y\r\na:3 \t\r\nA:\r\nB: a: z\r\nA: 4\r\n\r\n";
        let members = |list: List<'_>| {
            let texts = list.members().map(|m| String::from_utf8_lossy(m).into());
            texts.collect::<Vec<String>>().join(" ")
        };
        assert_eq!(members(List::several("a", section)), "1 2 3 4");
        assert_eq!(members(List::several("b", section)), "x a: z");
        assert_eq!(members(List::from(&b" 1, ,2 "[..])), "1 2");
        assert_eq!(List::several("a", section).lines().count(), 4);
        assert!(List::several("a", section).only_line().is_none());
    }
}
