//! Limits of connections, threads and processes: the configured ones, as far as the system allows
//! them.

use super::descriptors::max_connections;
use super::task_limits::{self, Limit, LimitSource, TaskKind};
use super::units::grouped;
use crate::config::Config;
use crate::model::{Limits, ModelRow};
use crate::service::Sharing;

/// Returns the limits of a model, and what sets the limit that applies to it. That is `None` if the
/// configuration does. Each worker has `listeners`; `sharing` is the most that any service shares.
pub(super) fn limits(
    config: &Config,
    model: &ModelRow,
    descriptors: usize,
    listeners: usize,
    sharing: Sharing,
) -> (Limits, Option<LimitSource>) {
    let knows = |option| model.options.contains(&option);
    let files = Limit {
        number: max_connections(config, descriptors, listeners),
        by: LimitSource::OpenFiles,
    };
    // A thread that also waits for messages of other connections has an eventfd(2) for that.
    let for_each = if sharing == Sharing::Messages && !model.waits_for_many() {
        2
    } else {
        1
    };
    let files = files.divided_by(for_each);
    let mut limits = Limits {
        max_connections: files.number,
        threads: config.threads,
        max_children: config.max_children,
    };
    let mut set_by = None;
    if knows("max-connections") {
        let threads =
            (!model.waits_for_many()).then(|| task_limits::limit(TaskKind::Thread, listeners));
        let most = files.or_lower(threads.flatten());
        let wanted = config.max_connections;
        (limits.max_connections, set_by) = within(wanted, "connections", most);
    } else if knows("threads") {
        let most = files.or_lower(task_limits::limit(TaskKind::Thread, listeners));
        let most = most.divided_by(listeners);
        let what = "threads for each address";
        (limits.threads, set_by) = within(Some(config.threads), what, most);
    } else if knows("max-children")
        && let Some(most) = task_limits::limit(TaskKind::Process, listeners)
    {
        (limits.max_children, set_by) = within(Some(config.max_children), "processes", most);
    }
    (limits, set_by)
}

/// Returns the wanted number or the largest possible one, and what sets it if that is the system.
fn within(wanted: Option<usize>, what: &str, most: Limit) -> (usize, Option<LimitSource>) {
    let Limit { number, by } = most;
    match wanted {
        Some(wanted) if wanted <= number => (wanted, None),
        Some(wanted) => {
            let (wanted, most) = (grouped(wanted as u64), grouped(number as u64));
            log::warn!("{wanted} {what} are more than {by} allows: using {most}");
            (number, Some(by))
        }
        None => (number, Some(by)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_bounds_what_is_wanted() {
        let most = Limit {
            number: 100,
            by: LimitSource::Maps,
        };
        let cases = [
            (None, (100, Some(LimitSource::Maps))),
            (Some(99), (99, None)),
            (Some(100), (100, None)),
            (Some(101), (100, Some(LimitSource::Maps))),
        ];
        for (wanted, expected) in cases {
            assert_eq!(within(wanted, "threads", most), expected);
        }
    }

    #[test]
    fn descriptors_limit_loops_and_threads() {
        let config = |model: &str, workers| Config {
            model: model.into(),
            workers,
            ..Config::default()
        };
        let cases = [
            ("epoll", 1, 1, 11),
            ("epoll", 2, 1, 3),
            ("epoll", 1, 11, 6),
            ("threaded", 1, 1, 11),
            ("pool", 1, 2, 5),
            ("pool", 1, 30, 1),
        ];
        for (model, workers, listeners, expected) in cases {
            let row = crate::model::find(model).expect("a model");
            let mut config = config(model, workers);
            config.http.cache_files = 0;
            let (limits, _) = limits(&config, row, 40, listeners, Sharing::Memory);
            let number = match model {
                "pool" => limits.threads,
                _ => limits.max_connections,
            };
            assert_eq!(number, expected, "{model} {workers} {listeners}");
        }
        for (model, expected) in [("epoll", 10_000), ("threaded", 5_000)] {
            let row = crate::model::find(model).expect("a model");
            let mut config = config(model, 1);
            config.http.cache_files = 0;
            config.max_connections = Some(10_000);
            let descriptors = 10_000 + 16 + 1 + 1024;
            let (limits, _) = limits(&config, row, descriptors, 1, Sharing::Messages);
            assert!(limits.max_connections <= expected, "{model} with a chat");
        }
    }
}
