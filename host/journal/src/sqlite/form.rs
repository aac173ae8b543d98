//! What the columns of an entry's row say, and what is left for its body.
//!
//! A journal is calls and their outcomes, so of these two kinds the body holds only what no column does, and nothing of what is nearly always so. Of most that are left the amounts alone: `[1,8268]`
//! is what was reserved for a call, `[1,23]` what its outcome cost, `{}` says nothing, and `{"reserved":[1,8268],"tier":"small"}` more. Format 5 wrote `{"reserved":[1,8268]}` for the first.
//! The body of all other kinds is the whole entry, as it was of these in formats 1 to 4; such rows are read as they are, and told apart by how their body begins, because no member of a short one is
//! named like a kind.
//!
//! The payload is neither here nor there: in its place is `"@payload"`.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use rusqlite::Row;
use serde::{Deserialize, Serialize};
use skillhost_core::budget::{Budget, Cost};
use skillhost_core::calls::CallOptions;
use skillhost_core::effect::{Class, Function};
use skillhost_core::entry::{By, Called, Due, Entry, Returned};
use skillhost_core::id::Number;
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;

use super::words;

/// Stands in an entry in the place of its payload.
pub(super) static PLACEHOLDER: LazyLock<Payload> =
    LazyLock::new(|| Payload::parse("\"@payload\"").expect("the placeholder is JSON"));

/// How the bodies of calls and outcomes begin that are whole entries.
const WHOLE: [&str; 2] = ["{\"called\":", "{\"returned\":"];

/// What the columns of an entry's row say of it, beside its place and its payload.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    pub(super) kind: &'a str,
    pub(super) number: Option<i64>,
    pub(super) function: Option<&'a str>,
    /// Absent where it is the function's own.
    pub(super) class: Option<&'a str>,
    pub(super) label: Option<&'a str>,
    pub(super) after: Option<i64>,
}

impl<'a> Columns<'a> {
    /// Reads `kind`, `number`, `function`, `class`, `label` and `after`, which stand one after the other in the row, from this one on.
    pub(super) fn read(row: &'a Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let text = |index| Ok::<_, rusqlite::Error>(row.get_ref(first + index)?.as_str_or_null()?);
        Ok(Self {
            kind: words::long(row.get_ref(first)?.as_str()?),
            number: row.get(first + 1)?,
            function: text(2)?.map(words::long),
            class: text(3)?,
            label: text(4)?,
            after: row.get(first + 5)?,
        })
    }
}

/// What the columns do not say, written as its amounts alone if it is nothing else.
trait Body<'a>: Serialize + Deserialize<'a> {
    fn of_amounts(amounts: Amounts) -> Self;

    /// Returns the amounts, if they are all that it says.
    fn amounts_alone(&self) -> Option<&Amounts>;

    fn to_json(&self) -> serde_json::Result<String> {
        match self.amounts_alone() {
            Some(amounts) => serde_json::to_string(amounts),
            None => serde_json::to_string(self),
        }
    }

    fn parse(text: &'a str) -> serde_json::Result<Self> {
        match text.starts_with('[') {
            true => serde_json::from_str(text).map(Self::of_amounts),
            false => serde_json::from_str(text),
        }
    }
}

/// What the columns of a call do not say.
#[derive(Default, Serialize, Deserialize)]
struct CalledBody<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reserved: Option<Amounts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reserved_day: Option<u32>,
    /// Without the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    options: Option<Cow<'a, CallOptions>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    over: Option<Budget>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tier: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Due>,
}

/// What the columns of an outcome do not say.
#[derive(Default, Serialize, Deserialize)]
struct ReturnedBody<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spent: Option<Amounts>,
    /// Absent if it was the effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Cow<'a, By>>,
    /// Absent if the outcome is the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    err: Option<Cow<'a, Fault>>,
}

/// Calls, tokens, and millionths of a dollar unless there are none.
#[derive(Serialize, Deserialize)]
struct Amounts(u64, u64, #[serde(default, skip_serializing_if = "is_zero")] u64);

fn is_zero(amount: &u64) -> bool {
    *amount == 0
}

impl From<Cost> for Amounts {
    fn from(cost: Cost) -> Self {
        let Cost {
            calls,
            tokens,
            microdollars,
        } = cost;
        Self(calls, tokens, microdollars)
    }
}

impl From<Amounts> for Cost {
    fn from(Amounts(calls, tokens, microdollars): Amounts) -> Self {
        Self {
            calls,
            tokens,
            microdollars,
        }
    }
}

/// Returns the body of an entry whose payload was taken out, unless it is a call's or an outcome's, whose bodies leave theirs out.
pub(super) fn body(entry: &Entry) -> String {
    let body = match entry {
        Entry::Called(called) => CalledBody::of(called).to_json(),
        Entry::Returned(returned) => ReturnedBody::of(returned).to_json(),
        other => serde_json::to_string(other),
    };
    body.expect("an entry serialises")
}

/// Returns the class as its column has it.
pub(super) fn class(called: &Called) -> Option<&'static str> {
    (called.class != called.function.spec().class).then(|| called.class.as_str())
}

/// Returns whether a body is the whole entry, and not only what the columns do not say.
pub(super) fn is_whole(kind: &str, body: &str) -> bool {
    !matches!(kind, "called" | "returned") || WHOLE.iter().any(|whole| body.starts_with(whole))
}

/// Returns the entry of a row, but for its payload. An error says in words what is wrong with the row.
pub(super) fn entry(columns: &Columns<'_>, body: &str) -> Result<Entry, String> {
    let parsed = match columns.kind {
        _ if is_whole(columns.kind, body) => return whole(columns, body),
        "called" => CalledBody::parse(body).map(|body| called(columns, body)),
        _ => ReturnedBody::parse(body).map(|body| returned(columns, body)),
    };
    parsed.map_err(|error| no_body(&error))?
}

fn no_body(error: &serde_json::Error) -> String {
    format!("its body does not parse: {error}")
}

fn whole(columns: &Columns<'_>, body: &str) -> Result<Entry, String> {
    let entry: Entry = serde_json::from_str(body).map_err(|error| no_body(&error))?;
    let number = columns.number.map(i64::unsigned_abs);
    match columns.kind == entry.kind() && number == entry.number().map(|number| number.0) {
        true => Ok(entry),
        false => Err("its body is another entry's than its columns say".to_owned()),
    }
}

fn called(columns: &Columns<'_>, body: CalledBody<'_>) -> Result<Entry, String> {
    let function = there(columns.function, "function")?;
    let function = Function::named(function).ok_or_else(|| format!("this host has no function `{function}`"))?;
    let class = match columns.class {
        None => function.spec().class,
        Some(class) => Class::named(class).ok_or_else(|| format!("there is no class `{class}`"))?,
    };
    let mut options = body.options.map(Cow::into_owned).unwrap_or_default();
    options.label = columns.label.map(str::to_owned);
    Ok(Entry::Called(Arc::new(Called {
        number: Number(there(columns.number, "number")?.unsigned_abs()),
        function,
        request: PLACEHOLDER.clone(),
        options,
        class,
        after: there(columns.after, "after")?.unsigned_abs(),
        reserved: body.reserved.map(Cost::from),
        reserved_day: body.reserved_day,
        over: body.over,
        tier: body.tier.map(Cow::into_owned),
        due: body.due,
    })))
}

fn returned(columns: &Columns<'_>, body: ReturnedBody<'_>) -> Result<Entry, String> {
    Ok(Entry::Returned(Returned {
        number: Number(there(columns.number, "number")?.unsigned_abs()),
        outcome: match body.err {
            None => Outcome::Ok(PLACEHOLDER.clone()),
            Some(fault) => fault.into_owned().into(),
        },
        spent: body.spent.map(Cost::from),
        by: body.by.map(Cow::into_owned).unwrap_or_default(),
    }))
}

fn there<T>(column: Option<T>, name: &str) -> Result<T, String> {
    column.ok_or_else(|| format!("its column `{name}` is empty"))
}

/// Returns what options say beside the label, which is a column, if they say anything.
fn beside_the_label(options: &CallOptions) -> Option<CallOptions> {
    let rest = CallOptions {
        label: None,
        extra: options.extra.clone(),
        ..*options
    };
    (rest != CallOptions::default()).then_some(rest)
}

impl<'a> CalledBody<'a> {
    fn of(called: &'a Called) -> Self {
        // A member that is added is to be said here or in a column.
        let Called {
            number: _,
            function: _,
            request: _,
            options,
            class: _,
            after: _,
            reserved,
            reserved_day,
            over,
            tier,
            due,
        } = called;
        Self {
            reserved: reserved.map(Amounts::from),
            reserved_day: *reserved_day,
            options: beside_the_label(options).map(Cow::Owned),
            over: *over,
            tier: tier.as_deref().map(Cow::Borrowed),
            due: *due,
        }
    }
}

impl<'a> Body<'a> for CalledBody<'a> {
    fn of_amounts(amounts: Amounts) -> Self {
        Self {
            reserved: Some(amounts),
            ..Self::default()
        }
    }

    fn amounts_alone(&self) -> Option<&Amounts> {
        match self {
            Self {
                reserved,
                reserved_day: None,
                options: None,
                over: None,
                tier: None,
                due: None,
            } => reserved.as_ref(),
            _ => None,
        }
    }
}

impl<'a> ReturnedBody<'a> {
    fn of(returned: &'a Returned) -> Self {
        let Returned {
            number: _,
            outcome,
            spent,
            by,
        } = returned;
        Self {
            spent: spent.map(Amounts::from),
            by: (*by != By::Effect).then_some(Cow::Borrowed(by)),
            err: match outcome {
                Outcome::Ok(_) => None,
                Outcome::Err(fault) => Some(Cow::Borrowed(fault)),
            },
        }
    }
}

impl<'a> Body<'a> for ReturnedBody<'a> {
    fn of_amounts(amounts: Amounts) -> Self {
        Self {
            spent: Some(amounts),
            ..Self::default()
        }
    }

    fn amounts_alone(&self) -> Option<&Amounts> {
        match self {
            Self {
                spent,
                by: None,
                err: None,
            } => spent.as_ref(),
            _ => None,
        }
    }
}
