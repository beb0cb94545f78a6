//! The directories that the sandbox allows besides the served ones.

use crate::config::Sandbox;
use crate::confine::{self, ParentDirectory};
use std::path::{Path, PathBuf};

/// The directories in which the access log is reopened after SIGHUP. To follow a replaced link or
/// directory, their parents too, unless that allows too much, which is logged.
pub(super) fn log_directories(path: &Path, sandbox: Sandbox) -> Vec<ParentDirectory> {
    let shown = path.display();
    let mut all = confine::directories_for_file(path).unwrap_or_else(|errno| {
        log::warn!("the access log {shown} cannot be reopened: {errno}");
        Vec::new()
    });
    if sandbox == Sandbox::Follow {
        let mut names: Vec<PathBuf> = all.iter().map(|one| one.path.clone()).collect();
        names.extend(path.parent().map(Path::to_owned));
        names.sort();
        names.dedup();
        for name in names {
            match confine::parent_directories(&name) {
                Ok(more) => all.extend(more),
                Err(why) => log::info!(
                    "if {} is replaced, the access log needs a restart: {why}",
                    name.display()
                ),
            }
        }
    }
    all
}
