//! sslyze, which looks for weak settings of TLS.

use crate::common::{Identity, Program, is_missing};
use serde_json::Value;
use std::process::Command;

/// What a server with a key on the curve P-256 may accept, in the order of sslyze.
const ACCEPTED: [(&str, &[&str]); 6] = [
    ("ssl_2_0_cipher_suites", &[]),
    ("ssl_3_0_cipher_suites", &[]),
    ("tls_1_0_cipher_suites", &[]),
    ("tls_1_1_cipher_suites", &[]),
    (
        "tls_1_2_cipher_suites",
        &[
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ],
    ),
    (
        "tls_1_3_cipher_suites",
        &[
            "TLS_AES_128_GCM_SHA256",
            "TLS_AES_256_GCM_SHA384",
            "TLS_CHACHA20_POLY1305_SHA256",
        ],
    ),
];

/// Its other checks: where the result is, and what it must be.
const CHECKS: [(&str, &str, &str); 9] = [
    ("elliptic_curves", "/supports_ecdh_key_exchange", "true"),
    ("heartbleed", "/is_vulnerable_to_heartbleed", "false"),
    (
        "openssl_ccs_injection",
        "/is_vulnerable_to_ccs_injection",
        "false",
    ),
    (
        "robot",
        "/robot_result",
        "\"NOT_VULNERABLE_RSA_NOT_SUPPORTED\"",
    ),
    (
        "session_renegotiation",
        "/is_vulnerable_to_client_renegotiation_dos",
        "false",
    ),
    (
        "session_renegotiation",
        "/supports_secure_renegotiation",
        "true",
    ),
    ("tls_compression", "/supports_compression", "false"),
    (
        "tls_extended_master_secret",
        "/supports_ems_extension",
        "true",
    ),
    ("tls_fallback_scsv", "/supports_fallback_scsv", "true"),
];

const CURVES: [&str; 3] = ["X25519", "secp256r1", "secp384r1"];

/// The names in a list of objects, sorted.
fn names<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    let list = list.as_array().expect("a list");
    let mut names: Vec<_> = list
        .iter()
        .filter_map(|one| one.pointer(name).and_then(Value::as_str))
        .collect();
    names.sort_unstable();
    names
}

#[test]
#[ignore = "needs sslyze"]
fn a_scanner_finds_nothing_weak() {
    if is_missing("sslyze") {
        return;
    }
    let root = tempfile::tempdir().expect("a directory");
    let identity = Identity::new();
    let program = Program::model("epoll", "--listen tls:127.0.0.1:0");
    let program = program.args(identity.options()).arg(root.path());
    let evserve = program.start();
    let report = root.path().join("report.json");
    let output = Command::new("sslyze")
        .arg(format!("--json_out={}", report.display()))
        .arg(evserve.address().to_string())
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let report = std::fs::read_to_string(report).unwrap_or_else(|_| panic!("{said}"));
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let results = report.pointer("/server_scan_results/0/scan_result");
    let results = results.unwrap_or_else(|| panic!("{said}"));
    for (scan, accepted) in ACCEPTED {
        let found = &results[scan]["result"]["accepted_cipher_suites"];
        assert_eq!(
            names(found, "/cipher_suite/name"),
            accepted,
            "{scan}: {said}"
        );
    }
    for (scan, place, right) in CHECKS {
        let found = results[scan]["result"].pointer(place);
        let found = found.unwrap_or_else(|| panic!("{scan}: {said}"));
        assert_eq!(found.to_string(), right, "{scan}{place}: {said}");
    }
    let curves = &results["elliptic_curves"]["result"]["supported_curves"];
    assert_eq!(names(curves, "/name"), CURVES, "{said}");
}
