//! Properties that hold for any input.

use evserve::files::RelativePath;
use evserve::http1::{BodyReader, HeadEnd, Ranges, Request, RequestBody, Target, accepted_codings};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::collection::vec;
use proptest::prelude::*;
use std::path::Component;

/// Fragments of heads and targets, valid and invalid.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"GET ",
        b"HEAD ",
        b"/",
        b"..",
        b".",
        b"%2e",
        b"%2F",
        b"%00",
        b"%",
        b"a",
        b"?",
        b"#",
        b" HTTP/1.1",
        b"\r\n",
        b"\r",
        b"\n",
        b"Host: h",
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
        b": ",
        b" ",
        b"\0",
    ];
    let piece = prop_oneof![
        3 => proptest::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_decoded_path_stays_below_the_root(target in pieces()) {
        if let Ok(path) = RelativePath::decode(&target) {
            let plain = |part| matches!(part, Component::Normal(_));
            let components: Vec<_> = path.as_path().components().collect();
            prop_assert!(components == [Component::CurDir] || components.into_iter().all(plain));
            let reference = path.slash_reference();
            prop_assert!(!reference.starts_with('/') && !reference.contains(':'), "{reference}");
        }
    }

    #[test]
    fn any_file_name_can_be_requested(name in "[^/\0]{1,40}") {
        prop_assume!(name != "." && name != "..");
        let target = format!("/{}", percent_encode(name.as_bytes(), NON_ALPHANUMERIC));
        let path = RelativePath::decode(target.as_bytes()).expect("a name");
        prop_assert_eq!(path.as_path().as_os_str(), &*name);
    }

    #[test]
    fn splitting_the_input_does_not_move_the_end_of_a_head(input in pieces(), cuts in vec(any::<prop::sample::Index>(), 0..8)) {
        let whole = HeadEnd::default().find(&input, 16_384);
        let mut search = HeadEnd::default();
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        ends.push(input.len());
        ends.sort_unstable();
        let stepwise = ends.into_iter().map(|end| search.find(&input[..end], 16_384)).find(|found| *found != Ok(None));
        prop_assert_eq!(stepwise.unwrap_or(Ok(None)), whole);
        if let Ok(Some(end)) = whole {
            let _ = Request::parse(&input[..end]);
        }
    }

    #[test]
    fn splitting_the_input_does_not_move_the_end_of_a_body(input in "([0-9a-f]{1,2}(;x)?|[a-z]{0,12}|\r|\n|\r\n|0\r\n\r\n){0,12}", step in 1_usize..9) {
        let read = |step: usize| {
            let mut reader = BodyReader::new(RequestBody::Chunked, 1000)?;
            let mut taken = 0;
            for part in input.as_bytes().chunks(step) {
                taken += reader.take(part)?;
            }
            Ok::<_, evserve::http1::StatusCode>((taken, reader.is_done()))
        };
        prop_assert_eq!(read(step), read(usize::MAX));
    }

    #[test]
    fn ranges_lie_within_the_file_and_do_not_overlap(field in "bytes=([0-9]{0,4}-[0-9]{0,4},?){0,12}", length in 0_u64..3000) {
        if let Ranges::Some(parts) = Ranges::parse(field.as_bytes(), length) {
            prop_assert!(!parts.is_empty());
            for (index, part) in parts.iter().enumerate() {
                prop_assert!(part.first <= part.last && part.last < length);
                let apart = parts.iter().skip(index + 1).all(|other| other.first > part.last || part.first > other.last);
                prop_assert!(apart, "{:?}", parts);
            }
        }
    }

    #[test]
    fn parsers_do_not_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Target::parse(&bytes);
        let _ = Request::parse(&bytes);
        let _ = Ranges::parse(&bytes, 1000);
        let _ = accepted_codings((&bytes[..]).into()).count();
    }
}
