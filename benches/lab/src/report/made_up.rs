//! A made-up run, for tests.

use crate::run::{Better, Contestant, Experiment, FORMAT, Fact, Figure, Gap, Run, Sample};

/// The value of the baseline at every step.
const OWN: f64 = 10_000.0;

const STEPS: [u64; 3] = [1, 8, 64];

/// A run of one experiment: epoll, and contestants with these factors of its values at the steps.
/// Rounds differ a little, and not by the same for all.
pub fn with(rounds: u32, factors: &[(&str, [f64; 3])]) -> Run {
    let all: Vec<_> = [("epoll", [1.0; 3])]
        .iter()
        .chain(factors)
        .copied()
        .collect();
    let contestant = |(kind, (name, _)): (usize, &(&str, [f64; 3]))| Contestant {
        name: (*name).to_owned(),
        kind,
        options: format!("--model {name}"),
        against: (*name != "epoll").then(|| "epoll".to_owned()),
    };
    let mut samples = Vec::new();
    for (index, (name, factors)) in all.iter().enumerate() {
        for (step, factor) in STEPS.iter().zip(factors) {
            for round in 1..=rounds {
                // The middle of the rounds has the very value.
                let aside = f64::from(round) - f64::from(rounds + 1) / 2.0;
                let sign = if index % 2 == 0 { 1.0 } else { -1.0 };
                let value = OWN * factor * (1.0 + aside * sign * 0.001);
                samples.push(Sample {
                    contestant: (*name).to_owned(),
                    step: *step,
                    round,
                    values: [("requests_per_s".to_owned(), value)].into(),
                    disturbed: None,
                });
            }
        }
    }
    Run {
        format: FORMAT,
        benchmark: "io_models".to_owned(),
        environment: vec![Fact {
            name: "kernel".to_owned(),
            value: "6.18 <&>".to_owned(),
        }],
        pace: if rounds == 1 { "quick" } else { "full" }.to_owned(),
        within_percent: 5.0,
        unfit: Vec::new(),
        baseline: "epoll".to_owned(),
        contestants: all.iter().enumerate().map(contestant).collect(),
        experiments: vec![Experiment {
            name: "rate".to_owned(),
            title: "Throughput, by connections".to_owned(),
            about: "Clients request a file.".to_owned(),
            steps_are: "connections".to_owned(),
            contestants: Vec::new(),
            figures: vec![figure(
                "requests_per_s",
                "Throughput",
                "requests per second",
                false,
            )],
            samples,
            gaps: Vec::new(),
        }],
        faults: Vec::new(),
    }
}

fn figure(name: &str, title: &str, unit: &str, logarithmic: bool) -> Figure {
    Figure {
        name: name.to_owned(),
        title: title.to_owned(),
        unit: unit.to_owned(),
        better: if logarithmic {
            Better::Lower
        } else {
            Better::Higher
        },
        logarithmic,
    }
}

/// A run whose second experiment has contestants of its own: `one`, and `two` with these factors of
/// its values at the steps.
pub fn with_own_contestants(rounds: u32, two: [f64; 3]) -> Run {
    let mut run = with(rounds, &[("poll", [1.0; 3])]);
    let mut own = with(rounds, &[("two", two)]).experiments.remove(0);
    own.name = "own".to_owned();
    own.title = "Two ways".to_owned();
    for sample in &mut own.samples {
        if sample.contestant == "epoll" {
            sample.contestant = "one".to_owned();
        }
    }
    let contestant = |(kind, name): (usize, &str)| Contestant {
        name: name.to_owned(),
        kind,
        options: format!("--way {name}"),
        against: (name != "one").then(|| "one".to_owned()),
    };
    own.contestants = ["one", "two"]
        .into_iter()
        .enumerate()
        .map(contestant)
        .collect();
    run.experiments.push(own);
    run
}

/// A run with a second experiment, which has one step, a logarithmic figure, zeros and gaps.
pub fn run(rounds: u32) -> Run {
    let names = [
        "poll", "select", "io-uring", "pool", "threaded", "forking", "blocking",
    ];
    let factors: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            (
                *name,
                [1.0, 1.0 - index as f64 / 8.0, 1.1 - index as f64 / 7.0],
            )
        })
        .collect();
    let mut run = with(rounds, &factors);
    let rate = &mut run.experiments[0];
    rate.samples
        .retain(|sample| sample.contestant != "select" || sample.step < 64);
    rate.gaps.push(Gap {
        contestant: "select".to_owned(),
        step: 64,
        why: "it has no place for more".to_owned(),
    });
    rate.figures
        .push(figure("missing", "Never measured", "things", false));
    let mut wait = rate.clone();
    wait.name = "wait".to_owned();
    wait.title = "Waiting".to_owned();
    wait.steps_are = "k: silent clients".to_owned();
    wait.figures = vec![
        figure("p99_us", "Latency", "99th percentile, µs", true),
        figure("answered", "Answered", "per cent of the requests", false),
    ];
    wait.samples.retain(|sample| sample.step == 8);
    for sample in &mut wait.samples {
        let value = sample.values["requests_per_s"];
        let answered = if sample.contestant == "pool" {
            0.0
        } else {
            100.0
        };
        sample.values = [
            ("p99_us".to_owned(), 1e8 / value),
            ("answered".to_owned(), answered),
        ]
        .into();
    }
    run.experiments.push(wait);
    run
}
