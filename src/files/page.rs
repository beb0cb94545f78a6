//! The look of the pages that the server generates: directory listings and error pages.
//!
//! Each page is complete in itself: it has no script and loads nothing. Its policy makes browsers
//! enforce that.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The header line for responses with such a page. It allows this one style sheet and nothing else,
/// neither scripts nor resources (Content Security Policy Level 3).
pub const PAGE_POLICY: &str = "Content-Security-Policy: default-src 'none'; \
    style-src 'sha256-dEpJWcOwTDUw9ESKz6f2CjV31EONb8BYBKC3ctRsZ90='; base-uri 'none'; form-action 'self'\r\n";

/// The end of every page.
pub const PAGE_END: &str = "</main></body></html>\n";

/// Returns a page up to its content.
pub fn page_begin(title: &str) -> Markup {
    html! {
        (DOCTYPE)
        (PreEscaped("<html lang=\"en\">"))
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            style { (PreEscaped(STYLE)) }
        }
        (PreEscaped("<body><main>"))
    }
}

/// Returns a page that explains an error response. `to_root` is a relative link to the root, if
/// known.
pub fn error_page(code: u16, phrase: &str, to_root: Option<&str>) -> String {
    let explanation = match code {
        400 => "The server does not understand this address.",
        401 => "A user and a password are needed. Load this page again to be asked for them.",
        403 => "You are not allowed to see this page.",
        404 => "Nothing is at this address. It may have moved, or the address may be mistyped.",
        405 => "This address can only be read: the server accepts GET, HEAD and OPTIONS.",
        408 => "The request took too long to arrive. Please try again.",
        412 => "The file has changed since you last read it.",
        413 => "The request is too large.",
        414 => "The address is too long.",
        429 => "Too many wrong passwords came from your address. Please wait a moment.",
        431 => "The request's header fields are too long. Deleting this site's cookies may help.",
        503 => "The server is busy or not ready. Please try again in a moment.",
        507 => "This folder has too many entries to list.",
        500 => "The server failed. The reason is in its log.",
        _ => "The server cannot handle this request.",
    };
    let content = html! {
        (page_begin(&format!("{code} {phrase}")))
        section {
            b { (code) }
            h1 { (phrase) }
            p { (explanation) }
            @if let Some(to_root) = to_root {
                p { a href=(to_root) { "Go to the home page" } }
            }
        }
    };
    content.into_string() + PAGE_END
}

/// An icon of 16 by 16 units, by its name in [`ICONS`].
pub fn icon(name: &str) -> Markup {
    PreEscaped(format!("<svg><use href=#{name} /></svg>"))
}

/// Appends an icon to a page.
pub fn write_icon(name: &str, page: &mut Vec<u8>) {
    for part in ["<svg><use href=#", name, " /></svg>"] {
        page.extend_from_slice(part.as_bytes());
    }
}

/// All icons, hidden until used: a directory, several kinds of file, and the root.
pub const ICONS: &str = concat!(
    r#"<svg hidden><symbol id="d" viewBox="0 0 16 16">"#,
    r#"<path fill="currentColor" fill-opacity=".2" d="M1.5 3h4.6l1.6 2h6.8v8.5h-13z"/></symbol>"#,
    r#"<symbol id="f" viewBox="0 0 16 16"><path d="M3.5 1.5h6l3 3v10h-9zM9.5 1.5v3h3"/></symbol>"#,
    r#"<symbol id="t" viewBox="0 0 16 16">"#,
    r#"<path d="M3.5 1.5h6l3 3v10h-9zM9.5 1.5v3h3M5.8 7.5h4.4M5.8 9.8h4.4M5.8 12h2.6"/></symbol>"#,
    r#"<symbol id="c" viewBox="0 0 16 16">"#,
    r#"<path d="M4.8 4.5 1.3 8l3.5 3.5M11.2 4.5 14.7 8l-3.5 3.5M9.2 3 6.8 13"/></symbol>"#,
    r#"<symbol id="i" viewBox="0 0 16 16">"#,
    r#"<path d="M1.5 2.5h13v11h-13zM1.5 11.5l4-4 3.4 3.4 2.1-2.1 3.5 3.5M10.6 5.4h.1"/></symbol>"#,
    r#"<symbol id="m" viewBox="0 0 16 16">"#,
    r#"<path d="M1.5 2.5h13v11h-13zM6.6 5.6l3.9 2.4-3.9 2.4z"/></symbol>"#,
    r#"<symbol id="z" viewBox="0 0 16 16">"#,
    r#"<path d="M1.5 2.5h13v3h-13zM2.5 5.5h11v8h-11zM6.3 8.3h3.4"/></symbol>"#,
    r#"<symbol id="h" viewBox="0 0 16 16">"#,
    r#"<path d="M1.6 8 8 2.3 14.4 8M3.5 6.5v7h9v-7"/></symbol></svg>"#
);

/// The one style sheet. If you change it, change its hash in [`PAGE_POLICY`]; the test prints the
/// new one.
const STYLE: &str = concat!(
    ":root{--b:#f5f6f8;--c:#fff;--t:#1b2230;--m:#5d6878;--l:#e4e8ee;--a:#0b5cbf;--h:#f0f5fd}",
    "@media(prefers-color-scheme:dark){",
    ":root{--b:#11141a;--c:#191e26;--t:#e3e8f0;--m:#95a1b3;--l:#29303b;--a:#82b8ff;--h:#212935}}",
    "*{box-sizing:border-box}",
    "body{margin:0;background:var(--b);color:var(--t);font:15px/1.5 system-ui,sans-serif}",
    "main{max-width:60rem;margin:0 auto;padding:2rem 1rem}",
    "h1,nav{font-size:1.25rem;font-weight:600;margin:0;overflow-wrap:anywhere}",
    "nav i{color:var(--m);font-style:normal;font-weight:400;margin:0 .4em}",
    "p{color:var(--m);margin:.25rem 0 1rem}",
    "a{color:var(--a);text-decoration:none}a:hover{text-decoration:underline}",
    "a:focus-visible,th button:focus-visible{outline:2px solid var(--a);outline-offset:-2px;border-radius:6px}",
    "nav a:focus-visible,p a:focus-visible{outline-offset:3px}",
    "table{border:1px solid var(--l);border-radius:10px;background:var(--c);overflow:hidden}",
    // Rows are blocks of their own, so a browser renders only those on the screen.
    "table,thead,tbody{display:block}tr{display:grid;grid-template-columns:1fr 7rem 12rem}",
    "tbody tr{content-visibility:auto;contain-intrinsic-height:auto 36px}",
    "td,th button{padding:.4rem 1rem}th{padding:0;text-align:left;font-size:.85rem;font-weight:500}",
    "td a,th button{display:block}th[aria-sort] button{color:var(--t);font-weight:600}",
    "input,button{font:inherit;color:inherit;background:var(--c);border:1px solid var(--m);",
    "border-radius:8px;padding:.25rem .75rem;margin:0;min-width:0}button{cursor:pointer}",
    "::placeholder{color:var(--m);opacity:1}",
    "th button{width:100%;border:0;background:none;color:var(--m);text-align:inherit}",
    "th button:hover{text-decoration:underline}",
    "div{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center;margin:.5rem 0 1rem}",
    "div p{flex:auto;margin:0}",
    "article{margin-top:1.5rem;background:var(--c);border:1px solid var(--l);border-radius:10px}",
    "h2{margin:0;padding:.4rem 1rem;font-size:.95rem;font-weight:600;",
    "border-bottom:1px solid var(--l)}h2 a{color:var(--t)}article p{margin:0;padding:0 1rem 1rem}",
    "pre{margin:0;padding:1rem;font:.85rem/1.5 ui-monospace,monospace;",
    "white-space:pre-wrap;overflow-wrap:anywhere}",
    "td{border-top:1px solid var(--l)}tr:hover td{background:var(--h)}",
    "td:first-child{padding:0}td a{position:relative;padding:.4rem 1rem .4rem 2.9rem;",
    "overflow-wrap:anywhere;color:var(--t)}td a[href$='/']{font-weight:500}",
    "td+td,th+th{text-align:right;white-space:nowrap}",
    "td+td{color:var(--m);font-size:.9rem;font-variant-numeric:tabular-nums}",
    "svg{width:1.25rem;height:1.25rem;fill:none;stroke:currentColor;stroke-width:1.2;",
    "stroke-linecap:round;stroke-linejoin:round;vertical-align:-.22em;color:var(--m)}",
    "svg[hidden]{display:none}",
    "td svg{position:absolute;left:1rem;top:.5rem}nav svg,td a[href$='/'] svg{color:var(--a)}",
    "section{margin:18vh auto 0;text-align:center}",
    "b{font-size:5rem;line-height:1;letter-spacing:-.04em;color:var(--a)}",
    "@media(max-width:38rem){main{padding:1rem .6rem}",
    "tr{grid-template-columns:1fr auto}thead tr{grid-template-columns:1fr auto auto}",
    "tbody tr{contain-intrinsic-height:auto 58px}",
    "td:first-child{grid-column:1/3}td+td{border:0;padding:0 1rem .45rem;text-align:left}",
    "td:nth-child(2){padding-left:2.9rem}td a{padding-bottom:.05rem}",
    "div p{flex:100%}input{flex:1}}",
);

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_policy_allows_only_the_style_sheet() {
        let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
        let allowed = format!("style-src 'sha256-{hash}';");
        assert!(
            PAGE_POLICY.contains(&allowed),
            "PAGE_POLICY must contain {allowed}"
        );
        let page = error_page(404, "Not Found", Some("../"));
        assert!(page.contains("<a href=\"../\">"));
        assert!(page.contains(&format!("<style>{STYLE}</style>")));
        for forbidden in ["<script", " style=", " onclick", "src=", "url("] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn an_error_page() {
        let page = error_page(503, "Service <Unavailable>", None);
        assert!(!page.contains("<a "));
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
        assert!(page.contains("<b>503</b><h1>Service &lt;Unavailable&gt;</h1>"));
        assert!(page.ends_with("</html>\n"));
    }
}
