//! What happens to a file, or to the root itself, while it is being sent to somebody who does not read yet.
//!
//! A file that shrinks to nothing under its reader: see `http.rs`. A log on a full disk: see `process.rs` and
//! tests/faults.

use super::root::Asker;
use crate::common::{Client, Evserve, on_every_model, pattern, serves_one_at_a_time};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

/// Far more than the kernel takes for a peer that does not read.
const LENGTH: usize = 20 << 20;

/// Where it is cut off: a page's boundary, and beyond what is on its way. The kernel sends a file's own pages, so what is
/// overwritten in place, the rest of a page behind the new end included, would arrive overwritten.
const CUT: usize = 15 << 20;

/// A root in a directory of its own, with a file that is in it for the first time.
fn world(content: &[u8]) -> TempDir {
    let world = tempfile::tempdir().expect("a directory");
    fs::create_dir(world.path().join("root")).expect("made");
    fs::write(world.path().join("root/large"), content).expect("written");
    world
}

/// Somebody who has asked for the file, and has read no more than the answer's head.
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
    // Whoever may read everything, as root may, still can; what is open stays open for everybody.
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
            assert!(client.rest() == old, "{model}: not what was asked for");
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
        assert_eq!(ends, [Some(&*both), Some(&*both)], "{model}: what was sent");
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
        let mut other = Asker::new(evserve.address());
        if !serves_one_at_a_time(model) {
            other.wait_for("/large", 200, "of another directory");
        }
        fs::remove_dir_all(here("elsewhere")).expect("removed");
        assert!(client.rest() == old, "{model}");
        other.wait_for("/large", 200, "of another directory");
    });
}
