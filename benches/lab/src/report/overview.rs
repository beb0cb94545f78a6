//! All experiments and contestants in one table: how many times as good as the baseline.
//!
//! An experiment has the value of its first figure, at the last step that the baseline reaches. A
//! number above 1 is better, whichever way the figure counts.

use super::cells::{self, Call, Cell};
use super::{Shown, shown};
use crate::chart::format::step;
use crate::run::Run;
use maud::{Markup, html};

/// The table. It leaves out experiments with contestants of their own.
pub fn of(run: &Run) -> Markup {
    let of_all = run.experiments.iter();
    let of_all = of_all.filter(|one| one.contestants.is_empty());
    let rows: Vec<_> = of_all
        .filter_map(|one| shown(run, one).into_iter().next())
        .collect();
    let others = run.contestants.iter();
    let others: Vec<_> = others
        .filter_map(|one| Some((one, cells::against(&run.contestants, &run.baseline, one)?)))
        .collect();
    html! {
        div.scroll {
            table.overview {
                thead { tr {
                    td {}
                    @for (one, against) in &others {
                        th scope="col" { span { (one.name) @if *against != run.baseline { " / " (against) } } }
                    }
                } }
                tbody {
                    @for row in &rows {
                        @let last = row.decisive_step();
                        tr {
                            th scope="row" {
                                a href=(format!("#{}", row.experiment.name)) { (row.experiment.name) }
                                span.soft { "at " (step(last as f64)) }
                            }
                            @for (one, _) in &others { (cell(row, &one.name, last)) }
                        }
                    }
                }
            }
        }
    }
}

fn cell(row: &Shown<'_>, name: &str, last: u64) -> Markup {
    let mut gaps = row.experiment.gaps.iter();
    let gap = gaps.find(|gap| gap.contestant == name && gap.step == last);
    let why = gap.map_or("not measured", |gap| gap.why.as_str());
    match row.at(name, last) {
        None => html! { td.gap title=(why) { "–" } },
        Some(cell) => html! { td class=(class(cell)) title=(row.note(cell)) { (words(cell)) } },
    }
}

/// Nuances of better and worse.
fn class(cell: &Cell<'_>) -> &'static str {
    let advantage = cell.advantage().unwrap_or(1.0);
    match (cell.call(), advantage.max(1.0 / advantage)) {
        (Some(Call::Better), 2.0..) => "better3",
        (Some(Call::Better), 1.25..) => "better2",
        (Some(Call::Better), _) => "better1",
        (Some(Call::Worse), 2.0..) => "worse3",
        (Some(Call::Worse), 1.25..) => "worse2",
        (Some(Call::Worse), _) => "worse1",
        (Some(Call::Same), _) => "same",
        (Some(Call::Unclear) | None, _) => "unclear",
    }
}

/// Few characters, so that a dozen fit on a phone.
fn words(cell: &Cell<'_>) -> String {
    let (Some(advantage), Some(call)) = (cell.advantage(), cell.call()) else {
        return "?".to_owned();
    };
    match (call, advantage) {
        (Call::Same, _) => "=".to_owned(),
        (Call::Unclear, _) => "≈".to_owned(),
        (_, 99.5..) => ">99".to_owned(),
        (_, 9.95..) => format!("{advantage:.0}"),
        (_, 1.095..) => format!("{advantage:.1}"),
        (_, 1.0..) => format!("{advantage:.2}"),
        (_, ..0.005) => "0".to_owned(),
        // Worse does not become 1 by rounding.
        _ => format!("{:.2}", advantage.min(0.99))
            .trim_start_matches('0')
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::made_up;
    use crate::run::Better;

    #[test]
    fn above_1_is_better_whichever_way_a_figure_counts() {
        let mut run = made_up::with(8, &[("poll", [4.0, 4.0, 4.0])]);
        let shows = |run: &Run, what: &str| of(run).into_string().contains(what);
        assert!(shows(&run, "class=\"better3\"") && shows(&run, ">4.0</td>"));
        run.experiments[0].figures[0].better = Better::Lower;
        assert!(shows(&run, "class=\"worse3\"") && shows(&run, ">.25</td>"));
    }

    #[test]
    fn a_gap_has_its_reason_and_no_number() {
        let table = of(&made_up::run(8)).into_string();
        assert!(
            table.contains("title=\"it has no place for more\">–</td>"),
            "{table}"
        );
    }

    #[test]
    fn contestants_of_one_experiment_have_no_column() {
        let run = made_up::with_own_contestants(8, [0.5; 3]);
        let table = of(&run).into_string();
        assert!(table.contains(">poll<") && table.contains("#rate"));
        assert!(
            !table.contains(">two<") && !table.contains("#own"),
            "{table}"
        );
    }

    #[test]
    fn no_difference_is_no_number() {
        let run = made_up::with(8, &[("poll", [1.0; 3])]);
        assert!(of(&run).into_string().contains("class=\"same\""));
    }
}
