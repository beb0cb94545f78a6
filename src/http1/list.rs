//! Fields that are lists: all lines of such a field in a head are one list (RFC 9110 section 5.3).

/// A list field of a request. However many lines it has, it takes no memory of its own.
#[derive(Clone, Copy, Debug)]
pub struct List<'a>(Lines<'a>);

#[derive(Clone, Copy, Debug)]
enum Lines<'a> {
    /// The value of the only line, as nearly always.
    One(&'a [u8]),
    /// The lines of this name in this field section, which is well-formed.
    Several { name: &'a str, section: &'a [u8] },
}

impl<'a> List<'a> {
    /// All lines of this name, in any case, in a field section whose lines end in CR LF.
    pub(super) fn several(name: &'a str, section: &'a [u8]) -> List<'a> {
        List(Lines::Several { name, section })
    }

    /// The value, if it is one line's.
    pub fn only_line(&self) -> Option<&'a [u8]> {
        match self.0 {
            Lines::One(value) => Some(value),
            Lines::Several { .. } => None,
        }
    }

    /// The values of the lines, in their order.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (one, name, mut rest): (_, _, &[u8]) = match self.0 {
            Lines::One(value) => (Some(value), "", b""),
            Lines::Several { name, section } => (None, name, section),
        };
        let several = std::iter::from_fn(move || {
            loop {
                let end = memchr::memchr(b'\n', rest)?;
                let line = &rest[..end];
                rest = &rest[end + 1..];
                let colon = memchr::memchr(b':', line).unwrap_or(0);
                if line[..colon].eq_ignore_ascii_case(name.as_bytes()) && colon > 0 {
                    return Some(line[colon + 1..].trim_ascii());
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

impl<'a> From<&'a [u8]> for List<'a> {
    fn from(value: &'a [u8]) -> List<'a> {
        List(Lines::One(value))
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
        assert_eq!(members(List::several("c", section)), "");
        assert_eq!(members(List::from(&b" 1, ,2 "[..])), "1 2");
        assert_eq!(List::several("a", section).lines().count(), 4);
        assert!(List::several("a", section).only_line().is_none());
    }
}
