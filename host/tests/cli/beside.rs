//! What is shown of runs beside each other, and what is refused about runs that begin with a copy.

use crate::machine::Machine;
use crate::run::{self, FAILED, WAITING};

fn all(machine: &Machine, lines: &[&str]) -> String {
    let seen: Vec<String> = lines.iter().map(|line| machine.see(line)).collect();
    seen.join("\n")
}

#[test]
fn runs_are_shown_beside_each_other() {
    let machine = Machine::new();
    run::done(&machine);
    run::failed(&machine);
    let diff = format!("diff nightly {FAILED}");
    let compare = format!("compare nightly {FAILED}");
    let lines = [
        diff.clone(),
        format!("{diff} --json"),
        "diff nightly nightly".to_owned(),
        compare.clone(),
        format!("{compare} --json"),
        "diff nightly".to_owned(),
        "diff nightly zzzzzzzz".to_owned(),
        "compare nightly".to_owned(),
    ];
    insta::assert_snapshot!(all(&machine, &lines.each_ref().map(String::as_str)));
}

#[test]
fn what_cannot_be_forked_or_replayed_says_why() {
    let machine = Machine::new();
    run::done(&machine);
    let _alive = run::held(&machine);
    let lines = [
        "fork nightly".to_owned(),
        "fork nightly --at 99".to_owned(),
        "fork nightly --at 99 --json".to_owned(),
        "fork nightly --at 0 --set haiku".to_owned(),
        "fork nightly --answer 0".to_owned(),
        "fork zzzzzzzz --at 0".to_owned(),
        "replay".to_owned(),
        "replay zzzzzzzz --json".to_owned(),
        format!("replay {WAITING} --component nowhere.wasm"),
        "dev nowhere".to_owned(),
        "dev nowhere --once --json".to_owned(),
    ];
    insta::assert_snapshot!(all(&machine, &lines.each_ref().map(String::as_str)));
}
