use std::cell::{Cell, RefCell};

use crate::executor::block_on;
use crate::fake::{State, host};
use crate::prelude::*;

async fn echo(text: &str) -> Result<String> {
    model::haiku(text).text().await
}

/// Notes that it was here, and fails if it is told to.
fn step<'a>(name: &'static str, seen: &'a RefCell<Vec<String>>, fails: bool) -> crate::Task<'a, String> {
    task(name, async move |_| {
        let said = echo(name).await?;
        seen.borrow_mut().push(name.to_owned());
        if fails {
            return Err(Failure::new("bad", format!("{name} went wrong")));
        }
        Ok(said)
    })
}

fn wrong(tasks: Tasks<'_>) -> String {
    block_on(tasks.all()).expect_err("they do not fit together").to_string()
}

#[test]
fn a_task_begins_when_what_it_depends_on_is_done_and_has_its_values() {
    let done = block_on(
        Tasks::new()
            .add(
                task("both", async |past: Past| {
                    Ok(format!("{} {}", past.get::<String>("left")?, past.get::<u32>("right")?))
                })
                .depends_on(["left", "right"]),
            )
            .add(task("left", async |_| echo("a").await))
            .add(task("right", async |_| sleep(secs(1)).await.map(|()| 7_u32)))
            .all(),
    );
    let done = done.expect("nothing fails");
    assert_eq!(
        done.get::<String>("both").map(|both| both.to_string()),
        Ok("a 7".to_owned())
    );
    assert_eq!(host(|world| world.what().join("; ")), "ask a; sleep 1000000000");
    let other = done.get::<u8>("right").map_err(|failure| failure.to_string());
    assert_eq!(other, Err("task `right` returns something else than `u8`".to_owned()));
    let unknown = done.get::<u8>("middle").map_err(|failure| failure.to_string());
    assert_eq!(unknown, Err("there is no task `middle`".to_owned()));
}

#[test]
fn tasks_that_do_not_fit_together_are_refused_in_words_before_any_begins() {
    let seen = RefCell::default();
    let of = |name, needs: &[&str]| step(name, &seen, false).depends_on(needs.iter().copied());
    assert_eq!(
        wrong(Tasks::new().add(of("a", &["b"]))),
        "task `a` depends on `b`, which is no task; there are `a`"
    );
    assert_eq!(
        wrong(Tasks::new().add(of("a", &[])).add(of("a", &[]))),
        "there are two tasks of the name `a`"
    );
    assert_eq!(
        wrong(Tasks::new().add(of("a", &["a"]))),
        "tasks depend on each other in a circle: `a` on `a`"
    );
    let circle = Tasks::new()
        .add(of("end", &["a"]))
        .add(of("a", &["start", "b"]))
        .add(of("b", &["c"]))
        .add(of("c", &["a"]))
        .add(of("start", &[]));
    assert_eq!(
        wrong(circle),
        "tasks depend on each other in a circle: `a` on `b` on `c` on `a`"
    );
    let detached = Tasks::new().add(of("a", &[]).detached()).add(of("b", &["a"]));
    assert_eq!(
        wrong(detached),
        "task `b` depends on `a`, which is detached and so done after all others"
    );
    assert!(host(|world| world.calls.is_empty()));
}

#[test]
fn a_value_is_had_only_of_a_task_that_is_depended_on() {
    let failure = block_on(
        Tasks::new()
            .add(task("a", async |_| Ok(1)))
            .add(task("b", async |past: Past| past.get::<i32>("a").map(drop)).retries(5))
            .all(),
    );
    assert_eq!(
        failure.map_err(|failure| failure.to_string()).err(),
        Some("task `b`: task `b` asks for `a`, on which it does not depend: add that to its `depends_on`".to_owned())
    );
}

#[test]
fn the_first_failure_cancels_what_is_under_way_and_begins_nothing_more() {
    let seen = RefCell::default();
    let failure = block_on(
        Tasks::new()
            .add(step("bad", &seen, true))
            .add(step("slow", &seen, false))
            .add(step("after", &seen, false).depends_on(["slow"]))
            .add(step("notice", &seen, false).detached())
            .add(step("celebration", &seen, false).depends_on(["bad"]).detached())
            .all(),
    );
    let failure = failure.expect_err("a task failed");
    assert_eq!(format!("{failure:?}"), "bad: task `bad`: bad went wrong");
    assert_eq!(host(|world| world.states("ask slow")), [State::Dropped]);
    assert_eq!(
        seen.take(),
        ["bad", "notice"],
        "what is detached is done where it can be"
    );
}

#[test]
fn settled_does_what_can_be_done_and_says_what_came_of_the_rest() {
    let seen = RefCell::default();
    let done = block_on(
        Tasks::new()
            .add(step("bad", &seen, true))
            .add(step("of bad", &seen, false).depends_on(["bad"]))
            .add(step("of that", &seen, false).depends_on(["of bad"]))
            .add(step("good", &seen, false))
            .add(step("unwanted", &seen, false).when(|_| false))
            .add(
                step("instead", &seen, false)
                    .depends_on(["bad", "good"])
                    .when(|past| past.failed("bad") && past.done("good")),
            )
            .settled(),
    );
    let done = done.expect("the tasks fit together");
    assert_eq!(seen.take(), ["bad", "good", "instead"]);
    let failed: Vec<_> = done
        .failed()
        .map(|(name, failure)| format!("{name}: {failure}"))
        .collect();
    assert_eq!(failed, ["bad: bad went wrong"]);
    let left_out: Vec<_> = done.left_out().collect();
    assert_eq!(
        left_out,
        [
            ("of bad", "`bad` failed"),
            ("of that", "`of bad` was left out"),
            ("unwanted", "its `when` says so")
        ]
    );
    let failure = done.get::<String>("of that").expect_err("it was left out");
    assert_eq!(
        format!("{failure:?}"),
        "left-out: task `of that` was left out: `of bad` was left out"
    );
}

#[test]
fn a_task_is_tried_again_when_it_fails_or_returns_what_is_not_valid() {
    let tries = Cell::new(0);
    let done = block_on(
        Tasks::new()
            .add(
                task("third", async |_| {
                    tries.set(tries.get() + 1);
                    match tries.get() {
                        1 => Err(Failure::new("bad", "the first try fails")),
                        tries => Ok(tries),
                    }
                })
                .retries(2)
                .validate(|tries| if *tries < 3 { Err("too small") } else { Ok(()) }),
            )
            .all(),
    );
    assert_eq!(
        done.and_then(|done| done.get::<i32>("third")).map(|value| *value),
        Ok(3)
    );

    let invalid = Tasks::new().add(task("small", async |_| Ok(1)).validate(|_| Err("too small")).retries(1));
    let failure = block_on(invalid.all()).expect_err("it is never large");
    assert_eq!(format!("{failure:?}"), "invalid: task `small`: too small");
}

#[test]
fn what_is_fatal_is_not_tried_again() {
    let tries = Cell::new(0);
    let failure = block_on(
        Tasks::new()
            .add(
                task("hopeless", async |_| -> Result<()> {
                    tries.set(tries.get() + 1);
                    Err(Failure::new("bad", "no").fatal())
                })
                .retries(5),
            )
            .all(),
    );
    assert!(failure.is_err_and(|failure| failure.is_fatal()));
    assert_eq!(tries.get(), 1);
}

#[test]
fn what_is_detached_comes_last_and_fails_nothing() {
    let seen = RefCell::default();
    let done = block_on(
        Tasks::new()
            .add(step("notice", &seen, true).detached())
            .add(step("of notice", &seen, false).depends_on(["notice"]).detached())
            .add(step("work", &seen, false))
            .all(),
    );
    assert!(done.is_ok());
    assert_eq!(seen.take(), ["work", "notice"]);
    let warned = host(|world| world.log.clone());
    assert_eq!(
        warned,
        ["Level::Warn: task `notice` failed, which nothing waits for: notice went wrong"]
    );
}

#[test]
fn only_so_many_tasks_run_at_once_the_first_added_first() {
    let open = Cell::new(0);
    let most = Cell::new(0);
    let mut tasks = Tasks::new().at_once(2);
    for index in 0..6_usize {
        let (open, most) = (&open, &most);
        tasks = tasks.add(task(format!("t{index}"), async move |_| {
            open.set(open.get() + 1);
            most.set(most.get().max(open.get()));
            let said = echo(&format!("{index}")).await;
            open.set(open.get() - 1);
            said
        }));
    }
    assert!(block_on(tasks.all()).is_ok());
    assert_eq!(most.get(), 2);
    assert_eq!(
        host(|world| world.what().join("; ")),
        "ask 0; ask 1; ask 2; ask 3; ask 4; ask 5"
    );
}

#[test]
fn a_cancelled_run_begins_no_task_more_not_even_a_detached_one() {
    let seen = RefCell::default();
    let failure = block_on(
        Tasks::new()
            .at_once(1)
            .add(task("cancelled", async |_| {
                host(|world| world.cancelled = true);
                echo("x").await
            }))
            .add(step("after", &seen, false))
            .add(step("notice", &seen, false).detached())
            .settled(),
    );
    assert!(failure.is_err_and(|failure| failure.is_cancelled()));
    assert_eq!(host(|world| world.what().join("; ")), "ask x");
}

/// Books and gives back, and fails where it is told to.
fn trip(fails_at: usize, undo_fails: bool) -> Result<usize> {
    block_on(saga(async |undo: &Undo| {
        for part in 0..3 {
            if part == fails_at {
                return Err(Failure::new("full", format!("no room in {part}")));
            }
            echo(&format!("book {part}")).await?;
            undo.by(format!("give {part} back"), async move || {
                echo(&format!("give {part}")).await?;
                match undo_fails && part == 1 {
                    true => Err(Failure::new("late", "too late")),
                    false => Ok(()),
                }
            });
        }
        Ok(3)
    }))
}

#[test]
fn a_saga_whose_steps_succeed_undoes_nothing() {
    assert_eq!(trip(9, false), Ok(3));
    assert_eq!(
        host(|world| world.what().join("; ")),
        "ask book 0; ask book 1; ask book 2"
    );
}

#[test]
fn a_saga_that_fails_undoes_what_was_noted_the_last_first() {
    let failure = trip(2, false).expect_err("the third is full");
    assert_eq!(format!("{failure:?}"), "full: no room in 2");
    let what = host(|world| world.what().join("; "));
    assert_eq!(what, "ask book 0; ask book 1; ask give 1; ask give 0");
    let cleanup: Vec<bool> = host(|world| world.calls.iter().map(|call| call.cleanup).collect());
    assert_eq!(cleanup, [false, false, true, true]);
}

#[test]
fn what_cannot_be_undone_is_said_and_the_rest_is_undone() {
    let failure = trip(2, true).expect_err("the third is full");
    assert_eq!(
        format!("{failure:?}"),
        "full: no room in 2; could not give 1 back: too late"
    );
    assert_eq!(host(|world| world.states("ask give").len()), 2);
    assert_eq!(
        host(|world| world.log.clone()),
        ["Level::Error: could not give 1 back: too late"]
    );
}

#[test]
fn c2_a_saga_of_a_cancelled_run_is_undone_in_the_cleanup_scope() {
    let failure = block_on(saga(async |undo: &Undo| {
        echo("book").await?;
        undo.by("give it back", async || echo("give").await.map(drop));
        host(|world| world.cancelled = true);
        sleep(secs(9)).await
    }));
    assert!(failure.is_err_and(|failure| failure.is_cancelled()));
    let last = host(|world| world.calls.last().cloned()).expect("calls were made");
    assert_eq!(
        (last.what.as_str(), last.cleanup, last.state),
        ("ask give", true, State::Finished)
    );
}

#[test]
fn what_is_past_the_point_of_no_return_is_not_undone() {
    let failure = block_on(saga(async |undo: &Undo| -> Result<()> {
        undo.by("take it back", async || echo("back").await.map(drop));
        undo.nothing_so_far();
        Err(Failure::new("late", "too late"))
    }));
    assert!(failure.is_err());
    assert!(host(|world| world.calls.is_empty()));
}
