//! The machine in a few lines. Without them figures mean little.

use rustix::process::{Resource, getrlimit};
use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};
use std::process::Command;
use std::time::SystemTime;

/// Facts about the machine, as names and values.
pub fn machine() -> Vec<(String, String)> {
    [
        ("date", today()),
        ("commit", commit()),
        ("kernel", line("/proc/sys/kernel/osrelease")),
        ("processor", processor()),
        ("frequency governor", governor()),
        ("mitigations", mitigations()),
        ("load average at the start", load_average()),
        ("limit of open files", open_files()),
        (
            "rustc",
            version("rustc", "--version").unwrap_or("unknown".to_owned()),
        ),
    ]
    .map(|(what, text)| (what.to_owned(), text))
    .to_vec()
}

/// Over the last minute.
pub fn load_average() -> String {
    let load = line("/proc/loadavg");
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// The commit in use, and whether files were changed since.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(["-C", env!("CARGO_MANIFEST_DIR")])
            .args(arguments)
            .output()
            .ok()?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(said)
    };
    match (
        git(&["rev-parse", "--short=12", "HEAD"]),
        git(&["status", "--porcelain", "--untracked-files=no"]),
    ) {
        (Some(commit), Some(changed)) if changed.is_empty() => commit,
        (Some(commit), _) => format!("{commit}, with changes"),
        _ => "unknown".to_owned(),
    }
}

/// How the kernel chooses the processor's frequency. A virtual machine mostly cannot tell.
fn governor() -> String {
    let said = line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    if said.is_empty() {
        "unknown".to_owned()
    } else {
        said
    }
}

fn open_files() -> String {
    let files = getrlimit(Resource::Nofile);
    let shown = |limit: Option<u64>| limit.map_or("none".to_owned(), |limit| limit.to_string());
    format!("{}, at most {}", shown(files.current), shown(files.maximum))
}

fn line(path: &str) -> String {
    read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn today() -> String {
    let now = httpdate::fmt_http_date(SystemTime::now());
    // `Sun, 06 Nov 1994 08:49:37 GMT`
    now.get(5..16).unwrap_or_default().to_owned()
}

fn processor() -> String {
    let text = line("/proc/cpuinfo");
    let model = text.lines().find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    let count = text
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let guest = text
        .lines()
        .any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
    let place = if guest { ", a virtual machine" } else { "" };
    format!("{model}, {count} logical cores{place}")
}

/// The kernel's mitigations of processor bugs: they make system calls more expensive, and not
/// equally for all servers.
fn mitigations() -> String {
    let mut found = BTreeMap::new();
    for entry in read_dir("/sys/devices/system/cpu/vulnerabilities")
        .into_iter()
        .flatten()
        .flatten()
    {
        let state = read_to_string(entry.path()).unwrap_or_default();
        if let Some(means) = state.trim().strip_prefix("Mitigation: ") {
            found.insert(
                entry.file_name().to_string_lossy().into_owned(),
                means.to_owned(),
            );
        }
    }
    let shown: Vec<_> = found
        .iter()
        .map(|(name, means)| format!("{name}: {means}"))
        .collect();
    if shown.is_empty() {
        "none".to_owned()
    } else {
        shown.join("; ")
    }
}

/// The first line that a program prints for its version. `None` if it is not installed.
pub fn version(program: &str, option: &str) -> Option<String> {
    let output = Command::new(program).arg(option).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some(
        String::from_utf8_lossy(&said)
            .lines()
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned(),
    )
}
