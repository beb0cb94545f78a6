//! The pages of docs/lessons: their links move the replay, all recordings stay in step, and what is
//! left comes back as it was. The figures of a text are those that the page itself says.

use super::{alone, replay::Shown, screenshots};
use std::fs::{read_dir, write};
use std::path::{Path, PathBuf};

/// The pages, in the order of their names.
fn pages() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lessons");
    let entries = read_dir(folder).expect("lessons");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|end| end == "html");
    let mut pages: Vec<_> = paths.filter(is_page).collect();
    pages.sort();
    assert!(pages.len() >= 9, "{pages:?}");
    pages
}

fn address(page: &Path) -> String {
    format!("file://{}", page.display())
}

/// How many seconds the moments of the recordings differ from the one that is shown: nothing that has
/// happened is later, and nothing that is to come is earlier.
const IN_STEP: &str = "sides.every(side => {
    const last = side.state.count - 1;
    return (last < 0 || side.time(last) <= now)
        && (last + 1 >= side.recording.count || side.time(last + 1) >= order.time[at]);
}) && new Set([...document.querySelectorAll('.cursor')].map(line => line.getAttribute('d').split(' ')[0])).size == 1";

/// The figures of the text that are of the event to which a link goes.
const FIGURES: &str = "[...document.querySelectorAll('.figure')].filter(one =>
    ['side', 'process', 'thread', 'place'].every(key => one.dataset[key] === jumps[LINK].dataset[key])
).map(one => one.textContent)";

/// What is wrong with how a link shows what it names: nothing, if that has an outline in sight, and a
/// call is wide enough to read. A link may want all in sight.
const IS_SEEN: &str = "(link => {
    const named = [...document.querySelectorAll('.named')].map(one => one.getBoundingClientRect());
    const side = sides.find(side => side.named >= 0), {recording} = side, [from, to] = recording.extent(side.named);
    if (!named.length || named.some(one => one.width < 14)) return 'no outline';
    if (to > from && (to - from) * scale < 19.9 && jumps[link].dataset.sight !== '0') return 'a call as wide as a hair';
    return '';
})";

#[test]
#[ignore = "needs chromium"]
fn browser_goes_to_the_moments_of_lessons_and_back_to_the_same_pictures() {
    let Some(_alone) = alone() else {
        return;
    };
    for page in pages() {
        let mut shown = Shown::open(&address(&page));
        let count = shown.tab.value("jumps.length").as_u64().expect("a number");
        assert!(count >= 3, "{}: {count} links", page.display());
        for link in 0..count {
            let click = format!("jumps[{link}].click(); [at, location.hash].join(' ')");
            let place = shown.text(&click);
            let sentence = shown.sentence();
            assert!(place.ends_with(&format!("#{}", link + 1)), "{place}");
            let is_current = format!("jumps[{link}].getAttribute('aria-current')");
            assert_eq!(shown.text(&is_current), "step");
            assert!(sentence.len() > 10, "{}: {sentence}", page.display());
            let figures = shown.tab.value(&FIGURES.replace("LINK", &link.to_string()));
            for figure in figures.as_array().expect("a list") {
                let figure = figure.as_str().expect("text");
                assert!(sentence.contains(figure), "{figure}: {sentence}");
            }
            let is_seen = format!("{IS_SEEN}({link})");
            assert_eq!(shown.text(&is_seen), "", "{}, link {link}", page.display());
            let mut pictures = vec![shown.picture()];
            for _ in 0..4 {
                pictures.push(shown.press("ArrowRight"));
                assert_eq!(shown.tab.value(IN_STEP), true, "{sentence}");
            }
            // At the last event, keys to the right change nothing.
            pictures.dedup();
            pictures.pop();
            while let Some(picture) = pictures.pop() {
                let is_same = shown.press("ArrowLeft") == picture;
                assert!(is_same, "{}: link {link}", page.display());
            }
            assert_eq!(shown.text(&click), place);
        }
        let whole = "document.querySelector('.question').open = true;
            document.querySelector('.question').innerText.length > 200";
        assert_eq!(shown.tab.value(whole), true, "{}", page.display());
        shown.end();
        let mut shown = Shown::open(&format!("{}#2", address(&page)));
        assert_eq!(shown.text("jumps[1].getAttribute('aria-current')"), "step");
        shown.end();
    }
}

#[test]
#[ignore = "needs chromium"]
fn browser_shows_lessons_narrow_and_wide_light_and_dark() {
    let Some(_alone) = alone() else {
        return;
    };
    let pictures = screenshots();
    for page in pages() {
        let name = page
            .file_stem()
            .and_then(|name| name.to_str())
            .expect("text");
        let mut shown = Shown::open(&address(&page));
        for (width, scheme) in [
            (1280, "light"),
            (1280, "dark"),
            (390, "light"),
            (390, "dark"),
        ] {
            shown.tab.emulate_screen(width, scheme);
            shown.tab.wait_until(&format!(
                "innerWidth == {width} && matchMedia('(prefers-color-scheme: {scheme})').matches"
            ));
            let beyond =
                "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(
                shown.tab.value(beyond),
                0,
                "{name}, {width}: something sticks out"
            );
            // The second link, so that something has happened.
            shown.tab.value("jumps[1].click(); 0");
            let lanes =
                "sides[Number(jumps[1].dataset.side)].labels.parentElement.getBoundingClientRect()";
            let is_below = format!(
                "(() => {{ const bar = find('where').getBoundingClientRect(), lanes = {lanes};
                return bar.top >= 0 && bar.bottom <= lanes.top + 1 && lanes.top < innerHeight * 0.9; }})()"
            );
            assert_eq!(
                shown.tab.value(&is_below),
                true,
                "{name}, {width}: the sentence and its lanes are on the screen"
            );
            let file = pictures.join(format!("lesson-{name}-{width}-{scheme}.png"));
            write(file, shown.tab.screenshot()).expect("written");
        }
        shown.end();
    }
}
