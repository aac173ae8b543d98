//! Reads a hostile guest: a component as text, with what is to become of it in the comments at its head, and words of ours for what all of them have alike.
//!
//! Words of ours are comments of the text format, so that a guest is well-formed without them: `(;memory;)` is a module with memory, an allocator and well-behaved
//! exports; `(;skill;)` lifts the exports of the world, from the instance `$i` where that has them; `(;types;)`, `(;clock;)`, `(;log;)` and `(;sets;)` import interfaces;
//! `(;times N;) .. (;end;)` repeats what stands between, with its number for `#` and the next one for `##`. `bytes` at the head makes the component longer by so many, `nested` puts components into it that no text describes.

use std::fmt::Write as _;
use std::path::Path;

/// A guest, and what is to become of it.
#[allow(dead_code, reason = "others take the component alone")]
pub(crate) struct Hostile {
    /// What its skill is called.
    pub(crate) name: String,
    /// Which others it is tried with.
    pub(crate) group: String,
    /// What is to become of it.
    pub(crate) end: End,
    /// What has to be said of it.
    pub(crate) says: Vec<String>,
    text: String,
    bytes_min: Option<usize>,
    nested: usize,
}

/// What is to become of a guest.
#[allow(dead_code, reason = "see above")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It does not become a run: the launch ends with this code.
    Refused(String),
    /// Its run fails with this code.
    Fails(String),
    /// It does no harm, and its run is done.
    Done,
}

impl Hostile {
    /// Reads a guest.
    pub(crate) fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap().to_str().unwrap().replace('_', "-");
        Self::of(&name, &std::fs::read_to_string(path).unwrap())
    }

    /// Takes the text of a guest.
    pub(crate) fn of(name: &str, text: &str) -> Self {
        let value = |name: &str| {
            let begins = format!(";; {name}: ");
            let values = text.lines().filter_map(move |line| line.strip_prefix(&begins));
            values.map(str::to_owned).collect::<Vec<_>>()
        };
        let one = |name: &str| value(name).pop();
        let end = match (one("refused"), one("fails")) {
            (Some(code), None) => End::Refused(code),
            (None, Some(code)) => End::Fails(code),
            (None, None) => End::Done,
            (Some(_), Some(_)) => panic!("{name} says two things"),
        };
        Self {
            name: name.to_owned(),
            group: one("group").unwrap_or_else(|| panic!("{name} is in no group")),
            end,
            says: value("says"),
            bytes_min: one("bytes").map(|bytes| bytes.parse().unwrap()),
            nested: one("nested").map_or(0, |times| times.parse().unwrap()),
            text: text.to_owned(),
        }
    }

    /// Returns its component.
    pub(crate) fn component(&self) -> Vec<u8> {
        let mut text = repeated(&self.text);
        for (word, meaning) in [
            ("(;memory;)", memory(&self.name)),
            ("(;types;)", TYPES.to_owned()),
            ("(;clock;)", CLOCK.to_owned()),
            ("(;log;)", LOG.to_owned()),
            ("(;sets;)", SETS.to_owned()),
            ("(;skill;)", skill(&self.text)),
        ] {
            text = text.replace(word, &meaning);
        }
        let mut bytes = wat::parse_str(&text).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        if let Some(bytes_min) = self.bytes_min {
            section(&mut bytes, 0, &[b"\x03pad".as_slice(), &vec![b'x'; bytes_min]].concat());
        }
        if self.nested > 0 {
            let inner = (0..self.nested).fold(EMPTY.to_vec(), |inner, _| {
                let mut outer = EMPTY.to_vec();
                section(&mut outer, 4, &inner);
                outer
            });
            section(&mut bytes, 4, &inner);
        }
        bytes
    }
}

/// A component of nothing.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

/// Adds a section: 0 is one that nobody reads, 4 holds another component.
fn section(bytes: &mut Vec<u8>, kind: u8, content: &[u8]) {
    bytes.push(kind);
    let mut length = content.len();
    while length > 0x7f {
        bytes.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
}

/// Repeats what stands between `(;times N;)` and `(;end;)`.
fn repeated(text: &str) -> String {
    let Some((before, rest)) = text.split_once("(;times ") else {
        return text.to_owned();
    };
    let (count, rest) = rest.split_once(";)").unwrap();
    let (what, after) = rest.split_once("(;end;)").unwrap();
    let mut whole = before.to_owned();
    for number in 0..count.parse::<u32>().unwrap() {
        let next = (number + 1).to_string();
        whole += &what.replace("##", &next).replace('#', &number.to_string());
    }
    whole + &repeated(after)
}

/// Returns a module with memory, an allocator, a description and a result: the pieces of a skill that does nothing.
fn memory(name: &str) -> String {
    let mut data = Vec::new();
    // A `description`: name, version, summary, two schemas; no requests, no needs, nothing extra.
    let mut described = record(&mut data, &[name, "1", "does harm", "{}", "{}"]);
    described.extend([0; 28]);
    // A `result<string, failure>`: that it went well, and a string.
    let mut ok = vec![0, 0, 0, 0];
    ok.extend(record(&mut data, &["1"]));
    format!(
        r#"(core module $memory-module
            (memory (export "memory") 16)
            (global $top (mut i32) (i32.const 524288))
            (data (i32.const 1024) "{}") (data (i32.const 2048) "{}") (data (i32.const 4096) "{}")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
              (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
              (global.set $top (i32.add (local.get $at) (local.get 3)))
              (block $enough
                (loop $more
                  (br_if $enough (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
                  (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))
                  unreachable))
              (local.get $at))
            (func (export "describe") (result i32) i32.const 1024)
            (func (export "run") (param i32 i32) (result i32) i32.const 2048))
          (core instance $memory (instantiate $memory-module))"#,
        escaped(&described),
        escaped(&ok),
        escaped(&data),
    )
}

/// Returns the exports of a skill.
fn skill(text: &str) -> String {
    let by = |name: &str| match text.contains(&format!("(export \"{name}\")")) {
        true => "$i",
        false => "$memory",
    };
    format!(
        r#"(type $failure-shape (record (field "code" string) (field "message" string) (field "details" (option string))))
          (export $failure "failure" (type $failure-shape))
          (type $request-shape (record (field "capability" string) (field "target" (option string))
            (field "access" (option string)) (field "reason" string)))
          (export $request "capability-request" (type $request-shape))
          (type $description-shape (record (field "name" string) (field "version" string) (field "summary" string)
            (field "input-schema" string) (field "output-schema" string) (field "requests" (list $request))
            (field "needs" (list string)) (field "extra" (option string))))
          (export $description "description" (type $description-shape))
          (func (export "describe") (result $description)
            (canon lift (core func {} "describe") (memory $memory "memory")))
          (func (export "run") (param "input" string) (result (result string (error $failure)))
            (canon lift (core func {} "run") (memory $memory "memory") (realloc (func {} "realloc"))))"#,
        by("describe"),
        by("run"),
        by("realloc"),
    )
}

/// The types that calls share.
const TYPES: &str = r#"(import "skillhost:skill/types@0.1.0" (instance $types
    (type $reuse-shape (enum "auto" "fresh" "pure"))
    (export "reuse" (type $reuse (eq $reuse-shape)))
    (type $options-shape (record (field "label" (option string)) (field "timeout-ns" (option u64)) (field "attempts" (option u32))
      (field "reuse" $reuse) (field "idempotent" bool) (field "cleanup" bool) (field "extra" (option string))))
    (export "call-options" (type $options (eq $options-shape)))))
  (alias export $types "call-options" (type $options))
  (import "skillhost:skill/tasks@0.1.0" (instance $tasks (export "pending" (type $pending (sub resource)))))
  (alias export $tasks "pending" (type $pending))"#;

/// A clock, whose `sleep` is a call that can be left open: as the core function `$sleep`, with the duration and thirteen words of options.
const CLOCK: &str = r#"(import "skillhost:skill/clock@0.1.0" (instance $clock
    (alias outer 1 $options (type $o)) (export "call-options" (type $o2 (eq $o)))
    (alias outer 1 $pending (type $p)) (export "pending" (type $p2 (eq $p)))
    (export "start-sleep" (func (param "duration-ns" u64) (param "options" $o2) (result (own $p2))))))
  (core func $sleep (canon lower (func $clock "start-sleep") (memory $memory "memory")))
  (core func $drop (canon resource.drop $pending))
  (core instance $calls (export "sleep" (func $sleep)) (export "drop" (func $drop)))"#;

/// The log, as the core function `$log` of level, pointer and length.
const LOG: &str = r#"(import "skillhost:skill/log@0.1.0" (instance $log-interface
    (type $level-shape (enum "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $level-shape)))
    (export "write" (func (param "level" $level) (param "message" string)))))
  (core func $log (canon lower (func $log-interface "write") (memory $memory "memory")))
  (core instance $lines (export "log" (func $log)))"#;

/// Sets of calls, as the core function `$set` that makes one, and `$wait`.
const SETS: &str = r#"(import "skillhost:skill/tasks@0.1.0" (instance $tasks
    (export "pending-set" (type $set-type (sub resource)))
    (export "[constructor]pending-set" (func (result (own $set-type))))
    (export "[method]pending-set.wait" (func (param "self" (borrow $set-type)) (result u32)))))
  (core func $set (canon lower (func $tasks "[constructor]pending-set")))
  (core func $wait (canon lower (func $tasks "[method]pending-set.wait")))
  (core instance $sets (export "set" (func $set)) (export "wait" (func $wait)))"#;

/// Puts strings into the data at 4096, and returns their pointers and lengths.
fn record(data: &mut Vec<u8>, strings: &[&str]) -> Vec<u8> {
    let mut layout = Vec::new();
    for string in strings {
        layout.extend((4096 + data.len() as u32).to_le_bytes());
        layout.extend((string.len() as u32).to_le_bytes());
        data.extend(string.as_bytes());
    }
    layout
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:02x}").unwrap();
        text
    })
}
