//! Limits of the control groups of this process (cgroups(7)), version 1 and 2.

use crate::sys::untraced::{open, read};
use crate::sys::{Mode, OFlags};
use procfs::process::{MountInfo, Process};
use std::path::{Component, Path, PathBuf};

/// The directories of this process's group and of all groups above it, as far as they are visible.
/// A limit applies in each of them.
pub(super) fn directories(controller: &str) -> Vec<PathBuf> {
    let Ok(process) = Process::myself() else {
        return Vec::new();
    };
    let (Ok(groups), Ok(mounts)) = (process.cgroups(), process.mountinfo()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for mount in &mounts {
        let group = groups.0.iter().find(|group| match group.hierarchy {
            0 => mount.fs_type == "cgroup2",
            _ => is_of(mount, controller) && group.controllers.iter().any(|c| c == controller),
        });
        if let Some(group) = group {
            found.extend(upwards(&group.pathname, &mount.root, &mount.mount_point));
        }
    }
    found
}

fn is_of(mount: &MountInfo, controller: &str) -> bool {
    mount.fs_type == "cgroup" && mount.super_options.contains_key(controller)
}

/// A group's directory and those above it. The group `root` is mounted at `mount_point`. A group
/// outside of it, as in some containers, is not visible.
fn upwards(group: &str, root: &str, mount_point: &Path) -> Vec<PathBuf> {
    let below = Path::new(group).strip_prefix(root).unwrap_or(Path::new(""));
    let is_name = |part| matches!(part, Component::Normal(_));
    let directory = match below.components().all(is_name) {
        true => mount_point.join(below),
        false => mount_point.to_owned(),
    };
    let all = directory.ancestors();
    all.take_while(|one| one.starts_with(mount_point))
        .map(Path::to_owned)
        .collect()
}

/// Reads a number from a file of a group. `None` for `max`, or without such a file.
pub(super) fn number(directory: &Path, file: &str) -> Option<u64> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = open(directory.join(file), flags, Mode::empty()).ok()?;
    let mut text = [0; 32];
    let length = read(&file, &mut text).ok()?;
    str::from_utf8(&text[..length]).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_and_all_above_it() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("/", "/", &["/c"]),
            ("/a/b", "/", &["/c/a/b", "/c/a", "/c"]),
            // A container that sees only its own group, with and without a namespace.
            ("/docker/x", "/docker/x", &["/c"]),
            ("/docker/x/y", "/docker/x", &["/c/y", "/c"]),
            ("/docker/x", "/docker/y", &["/c"]),
            ("/../..", "/", &["/c"]),
            ("/../other", "/", &["/c"]),
        ];
        for (group, root, expected) in cases {
            let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(
                upwards(group, root, Path::new("/c")),
                expected,
                "{group} in {root}"
            );
        }
    }
}
