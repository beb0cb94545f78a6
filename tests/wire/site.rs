//! The first page that one sees, docs/site: what it links to is there, and nothing of it comes from
//! elsewhere.

use crate::common::Evserve;
use std::path::Path;

#[test]
fn the_first_page_leads_on() {
    // As strict as a policy can be for a page with a style sheet and a picture.
    let policy = "Content-Security-Policy: default-src 'none'; style-src 'self'; img-src 'self'";
    let options = ["--header", policy, "--error-page", "404=error.html"];
    let evserve = Evserve::http("epoll", Path::new("docs/site"), &options);
    let page = String::from_utf8(evserve.get("/").body).expect("UTF-8");
    for forbidden in ["<script", "<style", " style=", " on", "javascript:"] {
        let tags = page.split('<').filter_map(|part| part.split('>').next());
        let tags: Vec<_> = tags.map(|tag| format!("<{tag}")).collect();
        assert!(
            !tags.iter().any(|tag| tag.contains(forbidden)),
            "{forbidden}"
        );
    }
    let targets = ["href=\"", "src=\""].into_iter().flat_map(|attribute| {
        let parts = page.split(attribute).skip(1);
        parts.filter_map(|part| part.split('"').next())
    });
    let mut count = 0;
    for target in targets {
        let path = target.replace("&amp;", "&");
        assert!(!path.contains(':') && !path.starts_with('/'), "{path}");
        let expected = if path == "nowhere" { 404 } else { 200 };
        assert_eq!(evserve.get(&format!("/{path}")).status, expected, "{path}");
        count += 1;
    }
    assert!(count >= 9, "{count} links");
}
