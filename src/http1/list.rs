//! List fields: all lines of such a field in a head form one list (RFC 9110 section 5.3).

/// A list field of a request. It allocates nothing and is as small as a slice, however many lines
/// the field has.
///
/// The slice is the value of the only line, the usual case; or the field section from the field's
/// first line on, which ends in a line feed, as no value does.
#[derive(Clone, Copy, Debug)]
pub struct List<'a>(&'a [u8]);

impl<'a> List<'a> {
    /// All lines with this name, ignoring case, in a field section whose lines end in CR LF. There
    /// must be at least one.
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

    /// The value, if the field has one line.
    pub fn only_line(&self) -> Option<&'a [u8]> {
        (!self.0.ends_with(b"\n")).then_some(self.0)
    }

    /// The values of the lines, in order.
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

    /// The members, split at each comma. Only for lists whose members contain no comma.
    pub fn members(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.lines().flat_map(split)
    }
}

/// The values of all lines of a field in a request's head, which may be of any kind.
pub fn field_lines<'a>(head: &'a [u8], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let (_, section) = next_line(head).unwrap_or_default();
    lines_of(section, name)
}

/// The values of all lines of a field in a field section.
pub(super) fn lines_of<'a>(
    section: &'a [u8],
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = section;
    std::iter::from_fn(move || {
        loop {
            let (line, after) = next_line(rest)?;
            rest = after;
            let (other, value) = named(line);
            if other.eq_ignore_ascii_case(name.as_bytes()) {
                return Some(value);
            }
        }
    })
}

/// A list of one line.
impl<'a> From<&'a [u8]> for List<'a> {
    fn from(value: &'a [u8]) -> List<'a> {
        List(value)
    }
}

/// Splits off the first line, without its line feed.
fn next_line(section: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', section)?;
    Some((&section[..end], &section[end + 1..]))
}

/// Splits a line into name and value. An empty line has an empty name.
fn named(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', line) {
        Some(colon) => (&line[..colon], line[colon + 1..].trim_ascii()),
        None => (b"", b""),
    }
}

/// The members of one line, split at each comma (RFC 9110 section 5.6.1). Empty members are
/// skipped.
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
