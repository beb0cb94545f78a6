//! Tables in the pages that are generated from `SERVICES`, `MODELS` and the metrics.
//! `EVSERVE_WRITE=1 cargo test --test layers` writes them.

use evserve::config::Config;
use evserve::model::{MODELS, ModelRow};
use evserve::service::{SERVICES, Service, ServiceRow, metric_rows};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// A table: the page, its name there, the column titles, and its rows.
type Table = (
    &'static str,
    &'static str,
    &'static [&'static str],
    fn() -> Vec<Vec<String>>,
);

const TABLES: &[Table] = &[
    (
        "docs/usage.md",
        "services",
        &["mode", "what it serves", "default address", "over", "try"],
        services,
    ),
    (
        "docs/usage.md",
        "models",
        &["model", "how it waits"],
        models,
    ),
    (
        "docs/io-models.md",
        "options that a model does not know",
        &["options", "message"],
        unknown_options,
    ),
    (
        "docs/io-models.md",
        "modes that a model cannot serve",
        &["options", "message"],
        unserved_modes,
    ),
    (
        "docs/status.md",
        "metrics",
        &["metric", "type", "labels", "meaning"],
        metrics,
    ),
];

const END: &str = "<!-- end of table -->";

/// The models of the feature `tokio`. The tables are those of a build without it, whatever is
/// tested.
const TOKIO: &str = "`tokio";

#[test]
fn tables_in_docs_match_the_rows() {
    for (page, name, titles, rows) in TABLES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
        let text = std::fs::read_to_string(&path).expect(page);
        let mark = format!("<!-- table: {name} -->\n");
        let (before, rest) = text.split_once(&mark).expect(name);
        let (_, after) = rest.split_once(END).expect("an end");
        let table = drawn(titles, &rows());
        let expected = [before, &mark, "\n", &table, "\n", END, after].concat();
        if std::env::var_os("EVSERVE_WRITE").is_some() {
            super::docs::write(page, &expected);
        } else {
            let how = "EVSERVE_WRITE=1 cargo test --test layers writes it";
            assert!(
                text == expected,
                "{page}: {name}: not as the rows have it; {how}"
            );
        }
    }
}

fn drawn(titles: &[&str], rows: &[Vec<String>]) -> String {
    let titles: Vec<String> = titles.iter().map(|title| (*title).into()).collect();
    let line = vec!["---".to_owned(); titles.len()];
    let rows = rows.iter().filter(|row| !row[0].starts_with(TOKIO));
    let rows = rows.map(|row| {
        row.iter()
            .map(|cell| cell.replace(", tokio, tokio-multi", ""))
    });
    let rows = rows.map(Iterator::collect);
    let all = [titles, line].into_iter().chain(rows);
    all.map(|row| format!("| {} |\n", row.join(" | ")))
        .collect()
}

fn service(
    start: fn(&Config) -> Result<Arc<dyn Service>, evserve::config::StartError>,
) -> Arc<dyn Service> {
    start(&Config::default()).expect("it starts")
}

fn services() -> Vec<Vec<String>> {
    let cells = |row: &evserve::service::ServiceRow| {
        let place = format!("127.0.0.1:{}", row.port);
        let over = match row.datagram {
            Some(_) => "connections, datagrams",
            None => "connections",
        };
        let how = match service(row.start).url_scheme() {
            Some(scheme) => format!("`curl -i {scheme}://{place}/`"),
            None => format!("`nc 127.0.0.1 {}`", row.port),
        };
        vec![
            format!("`{}`", row.name),
            row.about.into(),
            place,
            over.into(),
            how,
        ]
    };
    SERVICES.iter().map(cells).collect()
}

fn models() -> Vec<Vec<String>> {
    let default = Config::default().model;
    let cells = |row: &ModelRow| {
        let is_default = if row.name == default {
            " (the default)"
        } else {
            ""
        };
        vec![format!("`{}`{is_default}", row.name), row.about.into()]
    };
    MODELS.iter().map(cells).collect()
}

/// Each option that only some models have, with the first model that refuses it.
fn unknown_options() -> Vec<Vec<String>> {
    let mut options: Vec<&str> = MODELS.iter().flat_map(|row| row.options).copied().collect();
    options.sort_unstable();
    options.dedup();
    let refused = |option: &&str| {
        let other = MODELS.iter().find(|row| !row.options.contains(option));
        refusal(&format!("--model {} --{option} 2", other?.name))
    };
    options.iter().filter_map(refused).collect()
}

fn metrics() -> Vec<Vec<String>> {
    let cells = |[name, kind, labels, help]: [String; 4]| {
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let labels: Vec<_> = labels.map(|label| format!("`{label}`")).collect();
        let meaning = help.trim_end_matches('.').replace(". ", "; ");
        vec![format!("`{name}`"), kind, labels.join(", "), meaning]
    };
    metric_rows().into_iter().map(cells).collect()
}

fn unserved_modes() -> Vec<Vec<String>> {
    let refused = |row: &ServiceRow| {
        let (mode, sharing) = (row.name, service(row.start).sharing());
        let unable = MODELS
            .iter()
            .filter(|model| model.cannot_share(sharing).is_some());
        let refused = unable.map(|model| format!("--mode {mode} --model {}", model.name));
        refused
            .filter_map(|options| refusal(&options))
            .collect::<Vec<_>>()
    };
    SERVICES.iter().flat_map(refused).collect()
}

/// The program's message when it refuses options.
fn refusal(options: &str) -> Option<Vec<String>> {
    let output = Command::new(env!("CARGO_BIN_EXE_evserve"))
        .args(options.split(' '))
        .args(["--log-level", "off"])
        .output()
        .expect("evserve starts");
    assert!(!output.status.success(), "{options} is not refused");
    let said = String::from_utf8(output.stderr).expect("text");
    let line = said.lines().find(|line| line.contains(": "))?;
    Some(vec![format!("`{options}`"), format!("`{line}`")])
}
