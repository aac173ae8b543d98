use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::executor::block_on;
use crate::fake::{State, host};
use crate::prelude::*;

/// Counts how often a future is polled.
struct Counted<F> {
    work: Pin<Box<F>>,
    polls: Rc<Cell<usize>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.set(self.polls.get() + 1);
        self.work.as_mut().poll(context)
    }
}

/// Delivers the call that was started last.
fn newest_first() {
    host(|world| world.next = Box::new(|open| open[open.len() - 1].number));
}

/// Delivers timers before anything else, else in the order started.
fn timers_first() {
    host(|world| {
        world.next = Box::new(|open| {
            let timer = open.iter().find(|call| call.what.starts_with("sleep"));
            timer.unwrap_or(&open[0]).number
        });
    });
}

async fn echo(text: impl Into<String>) -> Result<String> {
    model::haiku(text.into()).text().await
}

#[test]
fn a_delivery_polls_only_what_waits_for_it_however_many_calls_are_open() {
    let polls = Rc::new(Cell::new(0));
    newest_first();
    let answers = block_on(join_all((0..1_000).map(|index| Counted {
        work: Box::pin(echo(index.to_string())),
        polls: polls.clone(),
    })));
    assert_eq!(answers[7], Ok("7".to_owned()));
    assert_eq!(polls.get(), 2_000, "once to start, once when it was delivered");
}

#[test]
fn join_all_returns_results_in_the_order_of_its_futures_and_sees_them_in_the_order_of_delivery() {
    newest_first();
    let seen = RefCell::new(Vec::new());
    let answers = block_on(join_all(["a", "b", "c"].map(|text| {
        let seen = &seen;
        async move {
            let answer = echo(text).await;
            seen.borrow_mut().push(text);
            answer
        }
    })));
    assert_eq!(answers, ["a", "b", "c"].map(|text| Ok(text.to_owned())));
    assert_eq!(seen.take(), ["c", "b", "a"]);
}

#[test]
fn join_starts_everything_before_it_waits() {
    let (text, posted) = block_on(async { join!(echo("a"), inbox::post("hello")) });
    assert_eq!((text, posted), (Ok("a".to_owned()), Ok(())));
    assert_eq!(host(|world| world.what().join("; ")), "ask a; post hello []");
}

#[test]
fn the_first_to_be_delivered_wins_and_the_others_are_cancelled() {
    newest_first();
    let answer = block_on(first(["a", "b", "c"].map(echo)));
    assert_eq!(answer, Ok("c".to_owned()));
    assert_eq!(
        host(|world| world.states("ask")),
        [State::Dropped, State::Dropped, State::Finished]
    );
}

#[test]
fn work_that_loses_against_its_timeout_is_cancelled() {
    timers_first();
    let answer = block_on(timeout(secs(2), echo("slow")));
    assert_eq!(
        answer.map_err(|failure| failure.code().to_owned()),
        Err(code::TIMEOUT.to_owned())
    );
    assert_eq!(host(|world| world.states("ask")), [State::Dropped]);
    assert_eq!(host(|world| world.what().join("; ")), "ask slow; sleep 2000000000");
}

#[test]
fn work_that_is_in_time_drops_its_timer() {
    let answer = block_on(timeout(secs(2), echo("fast")));
    assert_eq!(answer, Ok("fast".to_owned()));
    assert_eq!(host(|world| world.states("sleep")), [State::Dropped]);
}

#[test]
fn map_keeps_the_order_of_items_and_the_limit() {
    newest_first();
    let open = Cell::new(0_i32);
    let most = Cell::new(0);
    let outcomes = block_on(async {
        map(0..10, 3, async |item: i32| {
            open.set(open.get() + 1);
            most.set(most.get().max(open.get()));
            let answer = echo(item.to_string()).await;
            open.set(open.get() - 1);
            if item == 4 {
                Err(Failure::new("odd", "four is not wanted"))
            } else {
                answer
            }
        })
        .progress("items")
        .await
    });
    assert_eq!((outcomes.len(), most.get()), (10, 3));
    let (good, bad) = outcomes.split();
    assert_eq!(good, ["0", "1", "2", "3", "5", "6", "7", "8", "9"]);
    assert_eq!(
        json(&bad),
        "[\n  {\n    \"index\": 4,\n    \"code\": \"odd\",\n    \"message\": \"four is not wanted\"\n  }\n]"
    );
    let marks = host(|world| (world.log[0].clone(), world.log[10].clone()));
    assert_eq!(marks, ("items 0/Some(10)".to_owned(), "items 10/Some(10)".to_owned()));
}

#[test]
fn all_of_a_map_is_the_first_failure_in_the_order_of_items() {
    newest_first();
    let all = block_on(async {
        let outcomes = map(["a", "b", "c"], 3, async |item: &str| {
            echo(item).await?;
            if item == "a" {
                Ok(item)
            } else {
                Err(Failure::new(item, "no"))
            }
        });
        outcomes.await.all()
    });
    assert_eq!(all.map_err(|failure| failure.code().to_owned()), Err("b".to_owned()));
}

#[test]
fn a_map_begins_nothing_more_once_the_run_was_cancelled() {
    let outcomes = block_on(async {
        map(0..10, 2, async |item: i32| {
            host(|world| world.cancelled |= item == 3);
            echo(item.to_string()).await
        })
        .await
    });
    assert!(
        outcomes
            .iter()
            .skip(4)
            .all(|outcome| outcome.as_ref().is_err_and(Failure::is_cancelled))
    );
    assert!(host(|world| world.calls.len()) < 6);
}

#[test]
fn an_empty_map_is_done_at_once() {
    let outcomes = block_on(async { map(Vec::<i32>::new(), 0, async |item| Ok(item)).await });
    assert!(outcomes.is_empty());
}

#[test]
fn only_calls_in_a_cleanup_scope_are_marked_as_cleaning_up() {
    block_on(async {
        host(|world| world.cancelled = true);
        assert!(echo("before").await.is_err_and(|failure| failure.is_cancelled()));
        let tidied = cleanup(async {
            let both = map(["left", "right"], 2, async |what: &str| echo(what).await)
                .await
                .all();
            timeout(secs(1), async { both }).await
        });
        assert_eq!(tidied.await.map(|both| both.join(" ")), Ok("left right".to_owned()));
        assert!(echo("after").await.is_err());
    });
    let marked = host(|world| world.calls.iter().filter(|call| call.cleanup).count());
    assert_eq!(marked, 2, "{:?}", host(|world| world.calls.clone()));
}

#[test]
#[should_panic(expected = "waits for something that no call will bring")]
fn a_skill_that_waits_for_nothing_says_so() {
    block_on(std::future::pending::<()>());
}

#[test]
fn a_dropped_call_leaves_nothing_behind() {
    block_on(async {
        let either = either(sleep(Duration::from_secs(1)), echo("b")).await;
        assert!(matches!(either, Either::Left(Ok(()))));
        assert_eq!(echo("c").await, Ok("c".to_owned()));
    });
    assert_eq!(host(|world| world.states("ask")), [State::Dropped, State::Finished]);
}
