//! Files, and the root, that change while a slow client downloads a file.
//!
//! For a file that shrinks to nothing see `http.rs`, for a log on a full disk `access_log.rs` and
//! tests/faults.

use super::root::KeepAliveClient;
use crate::common::{Client, Evserve, on_every_model, pattern, serves_one_at_a_time};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

/// Far more than the kernel buffers for a client that does not read.
const LENGTH: usize = 20 << 20;

/// The new length: at a page boundary, and beyond what is buffered. The kernel sends pages of the
/// file itself. If a page in the buffers were changed, truncation included, the changed bytes would
/// arrive.
const CUT: usize = 15 << 20;

/// A directory that contains a root with one file.
fn world(content: &[u8]) -> TempDir {
    let world = tempfile::tempdir().expect("a directory");
    fs::create_dir(world.path().join("root")).expect("made");
    fs::write(world.path().join("root/large"), content).expect("written");
    world
}

/// A client that has requested the file and has read only the head of the response.
fn slow_reader(evserve: &Evserve) -> Client {
    let mut client = evserve.connect();
    client.send("GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let head = client.head();
    assert_eq!(head.field("Content-Length"), Some(&*LENGTH.to_string()));
    client
}

#[test]
fn a_file_removed_during_its_transfer_arrives_whole() {
    let old = pattern(LENGTH);
    let replace = |path: &Path| {
        fs::write(path.with_file_name("new"), b"another").expect("written");
        fs::rename(path.with_file_name("new"), path).expect("renamed over it");
    };
    let remove = |path: &Path| fs::remove_file(path).expect("removed");
    // Root may still read the file. An open file stays readable for all users.
    let lock = |path: &Path| {
        fs::set_permissions(path, Permissions::from_mode(0o000)).expect("set");
    };
    let changes: [(&dyn Fn(&Path), &[u16]); 3] =
        [(&replace, &[200]), (&remove, &[404]), (&lock, &[200, 403])];
    on_every_model(|model| {
        for (change, statuses) in changes {
            let world = world(&old);
            let path = world.path().join("root/large");
            let evserve = Evserve::http(model, &world.path().join("root"), &[]);
            let mut client = slow_reader(&evserve);
            change(&path);
            assert!(client.rest() == old, "{model}: another file");
            let after = evserve.get("/large");
            assert!(statuses.contains(&after.status), "{model}: {}", after.head);
            if statuses == [200] {
                assert_eq!(after.body, b"another", "{model}");
            }
        }
    });
}

#[test]
fn a_file_truncated_during_its_transfer_is_not_padded() {
    let old = pattern(LENGTH);
    on_every_model(|model| {
        let world = world(&old);
        let path = world.path().join("root/large");
        let evserve = Evserve::http(model, &world.path().join("root"), &[]);
        let mut client = slow_reader(&evserve);
        let file = File::options().write(true).open(&path).expect("opened");
        file.set_len(CUT as u64).expect("cut");
        let got = client.rest();
        assert!(old[..CUT] == got, "{model}: {} bytes", got.len());
        assert!(evserve.get("/large").body == old[..CUT], "{model}");
        let log = evserve.stop().access_log;
        let ends: Vec<_> = log.lines().map(|line| line.split('"').nth(2)).collect();
        let both = format!(" 200 {CUT} ");
        assert_eq!(ends, [Some(&*both), Some(&*both)], "{model}: bytes sent");
    });
}

#[test]
fn transfers_survive_the_replacement_of_the_root() {
    let old = pattern(LENGTH);
    on_every_model(|model| {
        let world = world(&old);
        let here = |name: &str| world.path().join(name);
        let evserve = Evserve::http(model, &here("root"), &[]);
        let mut client = slow_reader(&evserve);
        fs::rename(here("root"), here("elsewhere")).expect("moved");
        fs::create_dir(here("root")).expect("made");
        fs::write(here("root/large"), b"of another directory").expect("written");
        let mut other = KeepAliveClient::new(evserve.address());
        if !serves_one_at_a_time(model) {
            other.wait_for("/large", 200, "of another directory");
        }
        fs::remove_dir_all(here("elsewhere")).expect("removed");
        assert!(client.rest() == old, "{model}");
        other.wait_for("/large", 200, "of another directory");
    });
}
