use super::*;
use crate::report::{made_up, shown};

fn finding(rounds: u32, factors: &[(&str, [f64; 3])]) -> String {
    let run = made_up::with(rounds, factors);
    text(&run)
}

fn text(run: &crate::run::Run) -> String {
    let text = of(&shown(run, &run.experiments[0])[0]).text();
    text.replace('\u{a0}', " ")
}

#[test]
fn the_best_and_the_worst_are_named_with_how_much() {
    assert_eq!(
        finding(
            8,
            &[("poll", [1.0, 1.05, 1.12]), ("pool", [1.0, 0.7, 0.24])]
        ),
        "At 64 connections poll is best with 11,200 requests per second, 12 % more than epoll (10,000). Furthest \
         behind is pool with 2,400, 24 % of epoll's. Worse than epoll: pool from 8 on (24 % of epoll's). Better \
         than epoll: poll from 8 on (112 % of epoll's)."
    );
}

#[test]
fn contestants_of_the_same_steps_are_named_together() {
    let select = ("select", [0.5, 0.3, 0.2]);
    let text = finding(8, &[("pool", [0.1, 0.1, 0.04]), select]);
    assert!(
        text.contains(
            "Worse than epoll: pool and select at every step (4.0 % and 20 % of epoll's)."
        ),
        "{text}"
    );
    let text = finding(8, &[("pool", [0.5, 0.25, 1.0]), select]);
    assert!(text.contains("Worse than epoll: select at every step (20 % of epoll's). pool differs from epoll at earlier steps only."), "{text}");
}

#[test]
fn what_is_within_the_intervals_is_no_difference() {
    let text = finding(8, &[("poll", [1.0, 1.0, 1.0]), ("select", [1.0, 1.0, 0.5])]);
    assert!(
        text.starts_with(
            "At 64 connections none is shown to be better than epoll (10,000 requests"
        ),
        "{text}"
    );
    assert!(
        text.contains("No difference to epoll is shown for poll."),
        "{text}"
    );
    assert!(
        text.contains("Worse than epoll: select at 64 (50 % of epoll's)."),
        "{text}"
    );
}

#[test]
fn few_samples_name_large_differences_alone_and_say_so() {
    let text = finding(3, &[("poll", [1.2, 1.2, 1.2]), ("pool", [0.1, 0.1, 0.1])]);
    assert!(text.contains("none is clearly better"), "{text}");
    assert!(
        text.contains("Not clearly different from epoll: poll."),
        "{text}"
    );
    assert!(
        text.contains("Worse than epoll: pool at every step (10 % of epoll's)."),
        "{text}"
    );
    let text = finding(1, &[("pool", [0.6; 3])]);
    assert!(
        text.contains("Not clearly different from epoll: pool."),
        "{text}"
    );
}

#[test]
fn a_difference_in_the_middle_is_mentioned_without_a_figure() {
    let text = finding(8, &[("poll", [1.0, 1.3, 1.0]), ("pool", [0.5, 0.5, 0.5])]);
    assert!(
        text.contains("poll differs from epoll at earlier steps only."),
        "{text}"
    );
}

#[test]
fn equal_values_have_no_order() {
    let text = finding(1, &[("poll", [1.0, 1.0, 1.0])]);
    assert!(
        text.starts_with("At 64 connections all have the same: 10,000 requests per second."),
        "{text}"
    );
}

#[test]
fn contestants_without_a_last_value_are_named() {
    let run = made_up::run(8);
    let text = text(&run);
    assert!(text.contains("Not measured at 64: select."), "{text}");
}

#[test]
fn a_build_is_compared_with_the_other_one_of_its_model() {
    let mut run = made_up::with(
        8,
        &[
            ("pool", [0.5; 3]),
            ("pool@slow", [0.45; 3]),
            ("epoll@slow", [1.0; 3]),
        ],
    );
    run.contestants[1].against = None;
    run.contestants[2].against = Some("pool".to_owned());
    run.contestants[3].against = Some("epoll".to_owned());
    let text = text(&run);
    assert!(
        text.contains("Worse than pool: pool@slow at every step (90 % of pool's)."),
        "{text}"
    );
    assert!(
        text.starts_with("At 64 connections all have the same"),
        "{text}"
    );
}

#[test]
fn contestants_of_one_experiment_are_compared_with_its_first() {
    let run = made_up::with_own_contestants(8, [0.5; 3]);
    let text = of(&shown(&run, &run.experiments[1])[0]).text();
    assert!(
        text.contains("none is shown to be better than one"),
        "{text}"
    );
    assert!(text.contains("Worse than one: two at every step"), "{text}");
    assert!(!text.contains("poll"), "{text}");
}

#[test]
fn contestants_of_one_experiment_are_told_beside_each_other() {
    let said = |two| {
        let run = made_up::with_own_contestants(8, two);
        of_all(&shown(&run, &run.experiments[1])).expect("a sentence")
    };
    assert_eq!(
        said([1.0, 1.5, 0.3]),
        "At 64 connections, throughput: one 10,000, two 3,000 requests per second."
    );
    assert_eq!(
        said([1.0; 3]),
        "At 1 connections none is shown to differ from one."
    );
    let few = made_up::with_own_contestants(1, [1.0; 3]);
    assert_eq!(
        of_all(&shown(&few, &few.experiments[1])).expect("a sentence"),
        "At 1 connections none clearly differs from one."
    );
    let models = made_up::with(8, &[("poll", [0.5; 3])]);
    assert_eq!(of_all(&shown(&models, &models.experiments[0])), None);
}

#[test]
fn a_value_beside_nothing_is_told_as_it_is() {
    let mut run = made_up::with_own_contestants(8, [0.5; 3]);
    let samples = run.experiments[1].samples.iter_mut();
    for sample in samples.filter(|sample| sample.contestant == "one") {
        sample.values.insert("requests_per_s".to_owned(), 0.0);
    }
    assert_eq!(
        of_all(&shown(&run, &run.experiments[1])).expect("a sentence"),
        "At 1 connections, throughput: two 5,000, one 0 requests per second."
    );
}

#[test]
fn what_does_not_differ_beside_others_is_named() {
    let mut run = made_up::with_own_contestants(8, [0.5; 3]);
    let own = &mut run.experiments[1];
    let mut three = own.contestants[1].clone();
    three.name = "three".to_owned();
    own.contestants.push(three);
    let mut wait = own.figures[0].clone();
    wait.name = "wait_us".to_owned();
    wait.title = "Wait".to_owned();
    own.figures.push(wait);
    let ones = own.samples.clone().into_iter();
    let ones = ones.filter(|sample| sample.contestant == "one");
    own.samples.extend(ones.map(|mut sample| {
        sample.contestant = "three".to_owned();
        sample
    }));
    for sample in &mut own.samples {
        sample.values.insert("wait_us".to_owned(), 7.0);
    }
    assert_eq!(
        of_all(&shown(&run, &run.experiments[1])).expect("a sentence"),
        "At 1 connections, throughput: one 10,000 (no difference shown: three), two 5,000 requests per second. \
         None is shown to differ from one in: wait."
    );
}

#[test]
fn for_a_lower_figure_less_is_better() {
    let mut run = made_up::with(8, &[("poll", [0.5, 0.5, 0.5]), ("pool", [3.0, 30.0, 30.0])]);
    run.experiments[0].figures[0].better = Better::Lower;
    let text = text(&run);
    assert!(
        text.contains(
            "poll is best with 5,000 requests per second, 50 % less than epoll (10,000)."
        ),
        "{text}"
    );
    assert!(
        text.contains("Furthest behind is pool with 300,000, 30 times epoll's."),
        "{text}"
    );
}

#[test]
fn a_time_that_grows_has_a_knee() {
    let mut run = made_up::with(8, &[("poll", [1.0; 3])]);
    let latency = &mut run.experiments[0];
    latency.figures[0].unit = "99th percentile, µs".to_owned();
    latency.figures[0].better = Better::Lower;
    latency.steps_are = "offered load, in per cent of the capacity of epoll".to_owned();
    let mut sample = latency.samples.remove(0);
    latency.samples.clear();
    for (name, values) in [
        ("epoll", [9.0, 1.0, 1.2, 4.9, 5.1]),
        ("poll", [1.0, 1.0, 2.0, 3.0, 4.0]),
    ] {
        for (index, value) in values.into_iter().enumerate() {
            sample.contestant = name.to_owned();
            sample.step = 10 * (index as u64 + 1);
            sample.values = [("requests_per_s".to_owned(), value)].into();
            latency.samples.push(sample.clone());
        }
    }
    let text = text(&run);
    assert!(
        text.contains("Knees (the last step before it exceeds 5 times its lowest): epoll at 40."),
        "{text}"
    );
    assert!(
        text.starts_with("At 50 per cent of the capacity of epoll none"),
        "{text}"
    );
}

#[test]
fn many_amounts_are_told_as_a_range() {
    let factors = [("poll", [0.5; 3]), ("pool", [0.1; 3]), ("select", [0.3; 3])];
    let text = finding(8, &factors);
    assert!(
        text.contains(
            "Worse than epoll: poll, pool and select at every step (10 % to 50 % of epoll's)."
        ),
        "{text}"
    );
}
