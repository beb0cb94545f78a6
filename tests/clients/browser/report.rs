//! The report of the benchmarks: readable at any width and in both color schemes, by all means of
//! pointing, and without a request.

use super::{alone, screenshots, tab::Tab};
use evserve_lab::report;
use evserve_lab::run::Run;
use std::fs::write;
use std::path::Path;

/// The least size of text in pixels.
const LEAST: f64 = 12.0;

/// The report of the results in docs, in a file of its own.
fn report_of_docs(folder: &Path) -> String {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/io-models/results/results.json");
    let run = Run::read(&results).expect("a run");
    let file = folder.join("report.html");
    write(&file, report::page(&run)).expect("written");
    format!("file://{}", file.display())
}

/// Counts the pairs of texts in a chart that lie on each other, as this browser draws them.
const OVERLAPS: &str = "[...document.querySelectorAll('.chart')].reduce((count, chart) => {
    const boxes = [...chart.querySelectorAll('text')].map(text => text.getBBox());
    const inside = (a, b) => Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x) > 1
        && Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y) > 4;
    return count + boxes.filter((a, i) => boxes.slice(0, i).some(b => inside(a, b))).length;
}, 0)";

/// The size of the smallest text, drawn or written.
const SMALLEST: &str = "Math.min(...[...document.querySelectorAll('body *')].map(element => {
    const size = parseFloat(getComputedStyle(element).fontSize);
    const chart = element.closest('.chart');
    return chart ? size * chart.clientWidth / chart.viewBox.baseVal.width : size;
}))";

#[test]
#[ignore = "needs chromium"]
fn browser_shows_the_report_narrow_and_wide_light_and_dark() {
    let Some(_alone) = alone() else {
        return;
    };
    let pictures = screenshots();
    let folder = tempfile::tempdir().expect("a directory");
    let mut tab = Tab::show(&report_of_docs(folder.path()));
    tab.wait_until("document.readyState == 'complete' && !!document.querySelector('.tip')");
    for width in [360, 390, 1280] {
        let mut papers = Vec::new();
        for scheme in ["light", "dark"] {
            tab.emulate_screen(width, scheme);
            tab.wait_until(&format!(
                "innerWidth == {width} && matchMedia('(prefers-color-scheme: {scheme})').matches"
            ));
            let beyond =
                "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(tab.value(beyond), 0, "{width}: something sticks out");
            let smallest = tab.value(SMALLEST).as_f64().expect("a number");
            assert!(smallest >= LEAST, "{width}: text of {smallest} px");
            papers.push(tab.value("getComputedStyle(document.body).backgroundColor"));
            let file = pictures.join(format!("report-{width}-{scheme}.png"));
            write(file, tab.screenshot()).expect("written");
        }
        assert_ne!(papers[0], papers[1], "by night as by day");
        assert_eq!(tab.value(OVERLAPS), 0, "{width}: text lies on text");
    }
    // What the policy refuses is an error, too.
    assert_eq!(tab.complaints, Vec::<String>::new());
    let requests = "performance.getEntriesByType('resource').length";
    assert_eq!(tab.value(requests), 0, "the page loads something");
}

#[test]
#[ignore = "needs chromium"]
fn browser_tells_the_figures_of_the_report_by_keys_and_by_pointing() {
    let Some(_alone) = alone() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a directory");
    let mut tab = Tab::show(&report_of_docs(folder.path()));
    tab.wait_until("!!document.querySelector('.tip')");
    tab.value("chart = document.querySelector('.chart'); tip = document.querySelector('.tip'); 0");
    let press = |key| {
        format!(
            "chart.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))"
        )
    };
    let told = "tip.textContent";
    assert_eq!(tab.value(told), "");
    tab.value(&press("ArrowRight"));
    let first = tab.value(told);
    assert!(
        first.as_str().is_some_and(|told| told.contains("samples")),
        "{first}"
    );
    tab.value(&press("ArrowRight"));
    assert_ne!(tab.value(told), first, "the next step");
    tab.value(&press("Escape"));
    assert_eq!(tab.value(told), "");
    let point = "point = chart.querySelector('[data-series=epoll] .point .mark').getBoundingClientRect();
        chart.dispatchEvent(new PointerEvent('pointerdown', {bubbles: true, pointerType: 'touch',
            clientX: point.x + point.width / 2, clientY: point.y + point.height / 2})); tip.textContent";
    let touched = tab.value(point);
    assert!(
        touched
            .as_str()
            .is_some_and(|told| told.starts_with("epoll\nat ")),
        "{touched}"
    );
}
