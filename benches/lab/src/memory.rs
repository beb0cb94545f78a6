//! The memory of a program and of the kernel, from /proc.

use crate::cpu_time::tree;
use std::fs::read_to_string;

/// The kernel's own memory, from /proc/meminfo. It is that of the whole machine, so other programs
/// are in it.
const KERNEL: &[&str] = &["Slab:", "KernelStack:", "PageTables:"];

/// The private memory of a process and all its descendants, in bytes.
pub fn private_bytes(process: u32) -> u64 {
    // Clean pages are the program's text, which processes may share.
    let of = |process: &u32| {
        let rollup = read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
        kib(&rollup, "Private_Dirty:") * 1024
    };
    tree(process).iter().map(of).sum()
}

/// The memory of the kernel, in bytes.
pub fn kernel_bytes() -> u64 {
    let text = read_to_string("/proc/meminfo").unwrap_or_default();
    KERNEL.iter().map(|key| kib(&text, key) * 1024).sum()
}

fn kib(text: &str, key: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(key));
    let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    value.unwrap_or(0)
}
