//! Real programs, run with real tickets.

#![allow(clippy::unwrap_used, reason = "a test")]

mod secrets;

use std::os::unix::process::CommandExt as _;
use std::process::{Command as Program, Stdio as Io};
use std::sync::Mutex;

use skillhost_core::calls::CallOptions;
use skillhost_core::calls::files::Bytes;
use skillhost_core::calls::process::Output;
use skillhost_core::effect::{Class, Function};
use skillhost_core::id::Number;
use tempfile::TempDir;

use super::*;
use crate::tests::{granted, no_provider, ticket_of_run};

/// After this long, something that a test waits for will not come about.
const ABSURD: Duration = Duration::from_secs(60);

struct Bench {
    folder: TempDir,
    mounts: Mounts,
    programs: Programs,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    fn new(asked: &[(&str, &str, &str)]) -> Self {
        Self::looking_in(asked, "/usr/bin:/bin")
    }

    fn looking_in(asked: &[(&str, &str, &str)], search_path: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let skill: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mounts = Mounts::new(folder.path().join("run"), Arc::new(skill));
        let ground = ground(search_path);
        let programs = Programs::new(ground, granted(asked), folder.path().join("programs"));
        Self {
            folder,
            mounts,
            programs,
            printed: Arc::default(),
        }
    }

    fn watch(&self) -> Watch {
        let printed = Arc::clone(&self.printed);
        Watch::new(move |_, progress| {
            if let Progress::Printed { stderr, text } = progress {
                let text = if stderr { format!("error: {text}") } else { text };
                printed.lock().unwrap().push(text);
            }
        })
    }

    fn printed(&self) -> Vec<String> {
        self.printed.lock().unwrap().clone()
    }

    async fn run(&self, command: &Command) -> Result<Ended, Fault> {
        self.run_within(command, None).await
    }

    /// Names the run that this is: one of its own, because what bears its mark is ended, and other tests run at the same time.
    fn of(&self) -> String {
        let digest = skillhost_core::id::Digest::of(self.folder.path().to_string_lossy().as_bytes());
        format!("0{}", &digest.to_string()[..25])
    }

    async fn run_within(&self, command: &Command, timeout: Option<Duration>) -> Result<Ended, Fault> {
        self.run_by(&self.programs, command, timeout).await
    }

    async fn run_by(&self, programs: &Programs, command: &Command, timeout: Option<Duration>) -> Result<Ended, Fault> {
        let options = CallOptions {
            timeout_ns: timeout.map(|timeout| timeout.as_nanos() as u64),
            ..CallOptions::default()
        };
        let class = Class::AtMostOnce;
        let ticket = ticket_of_run(
            &self.of(),
            Function::PROCESS_RUN,
            class,
            Payload::of(command),
            options,
            no_provider(),
            skillhost_core::entry::Limits::default(),
            None,
        );
        match programs.perform(&ticket, &self.mounts, &self.watch()).await {
            Performed::Returned {
                outcome: Outcome::Ok(ended),
                ..
            } => Ok(ended.read().unwrap()),
            Performed::Returned {
                outcome: Outcome::Err(fault),
                ..
            } => Err(*fault),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until it printed so many lines.
    async fn until_printed(&self, lines: usize) {
        until(|| self.printed().len() >= lines).await;
    }
}

fn ground(search_path: &str) -> Ground {
    let tests = std::env::current_exe().unwrap();
    let holder = Holder {
        program: tests.ancestors().nth(2).unwrap().join("examples/hold"),
        words: Vec::new(),
    };
    let users = |name: &str| (name == "GREETING").then(|| OsString::from("of the user"));
    Ground::new(holder, Some(search_path.into()), users)
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(ABSURD, waiting).await.expect("it comes about");
}

fn command(program: &str, arguments: &[&str]) -> Command {
    Command {
        program: program.to_owned(),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        folder: None,
        input: Bytes(Vec::new()),
        environment: BTreeMap::new(),
        keep_bytes: None,
        merged: false,
        extra: None,
    }
}

fn sh(script: &str) -> Command {
    command("sh", &["-c", script])
}

const SH: &[(&str, &str, &str)] = &[("process", "sh", "")];

fn kept(output: &Output) -> &str {
    std::str::from_utf8(&output.kept.0).unwrap()
}

fn is_alive(pid: &str) -> bool {
    table::since(Pid::from_raw(pid.trim().parse().unwrap()).unwrap()).is_some()
}

#[tokio::test]
async fn a_program_is_given_its_arguments_as_they_are_and_answers_with_what_it_printed_and_its_code() {
    let bench = Bench::new(&[("process", "sh", ""), ("process", "/usr/bin/printf", "")]);
    let ended = bench.run(&sh("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!(ended.end, End::Exited(3));
    assert_eq!((kept(&ended.stdout), kept(&ended.stderr)), ("out\n", "err\n"));
    let ended = bench
        .run(&command("/usr/bin/printf", &["%s|", "a b", "$HOME", "; echo x", "*"]))
        .await
        .unwrap();
    assert_eq!(kept(&ended.stdout), "a b|$HOME|; echo x|*|");
    let mut printed = bench.printed();
    printed.sort();
    assert_eq!(printed, ["a b|$HOME|; echo x|*|", "error: err", "out"]);
}

#[tokio::test]
async fn what_ends_by_a_signal_says_which() {
    let ended = Bench::new(SH).run(&sh("kill -TERM $$")).await.unwrap();
    assert_eq!(ended.end, End::Signalled(15));
}

#[tokio::test]
async fn a_program_reads_its_input_to_the_end_however_long_and_may_leave_it() {
    let bench = Bench::new(&[("process", "wc", ""), ("process", "true", ""), ("process", "cat", "")]);
    let input = Bytes(vec![b'x'; 3 << 20]);
    let long = |program: &str, arguments: &[&str]| Command {
        input: input.clone(),
        ..command(program, arguments)
    };
    let ended = bench.run(&long("wc", &["-c"])).await.unwrap();
    assert_eq!(kept(&ended.stdout).trim(), (3 << 20).to_string());
    assert_eq!(bench.run(&long("true", &[])).await.unwrap().end, End::Exited(0));
    let bytes = Command {
        input: Bytes(vec![0xff, 0, b'\n', 0xfe]),
        ..command("cat", &[])
    };
    assert_eq!(bench.run(&bytes).await.unwrap().stdout.kept.0, [0xff, 0, b'\n', 0xfe]);
}

#[tokio::test]
async fn the_environment_holds_the_path_what_was_granted_and_nothing_else() {
    let bench = Bench::new(&[("process", "env", "GREETING OTHER")]);
    let seen = |command: Command| {
        let bench = &bench;
        async move {
            let ended = bench.run(&command).await.unwrap();
            let mut lines: Vec<String> = kept(&ended.stdout).lines().map(str::to_owned).collect();
            lines.sort();
            lines
        }
    };
    let mark = format!("SKILLHOST_CALL={}/0", bench.of());
    let path = "PATH=/usr/bin:/bin";
    assert_eq!(
        seen(command("env", &[])).await,
        ["GREETING=of the user", path, mark.as_str()]
    );
    let own = Command {
        environment: BTreeMap::from([("OTHER".to_owned(), "of the skill".to_owned())]),
        ..command("env", &[])
    };
    assert_eq!(
        seen(own).await,
        ["GREETING=of the user", "OTHER=of the skill", path, mark.as_str()]
    );
    let ungranted = Command {
        environment: BTreeMap::from([("LD_PRELOAD".to_owned(), "/x".to_owned())]),
        ..command("env", &[])
    };
    assert_eq!(bench.run(&ungranted).await.unwrap_err().code, Fault::DENIED);
}

#[tokio::test]
async fn what_was_not_granted_or_is_not_there_is_not_run() {
    let bench = Bench::new(&[("process", "no-such-program", ""), ("process", "/no/such/program", "")]);
    for (program, code) in [
        ("sh", Fault::DENIED),
        ("/bin/sh", Fault::DENIED),
        ("no-such-program", Fault::NOT_FOUND),
        ("/no/such/program", Fault::NOT_FOUND),
    ] {
        assert_eq!(
            bench.run(&command(program, &[])).await.unwrap_err().code,
            code,
            "{program}"
        );
    }
}

#[tokio::test]
async fn a_program_runs_in_a_folder_that_may_be_written_and_its_name_is_not_looked_up_there() {
    let bench = Bench::looking_in(&[("process", "sh", ""), ("process", "evil", "")], ".::/usr/bin:/bin");
    let ended = bench.run(&sh("mkdir -p sub; touch new; pwd -P")).await.unwrap();
    let run = bench.folder.path().join("run").canonicalize().unwrap();
    assert_eq!(kept(&ended.stdout).trim(), run.to_str().unwrap());
    assert!(run.join("new").exists());
    let here = |folder: &str| Command {
        folder: Some(folder.to_owned()),
        ..sh("pwd -P")
    };
    let ended = bench.run(&here("run/sub")).await.unwrap();
    assert_eq!(kept(&ended.stdout).trim(), run.join("sub").to_str().unwrap());
    std::os::unix::fs::symlink("/", run.join("out")).unwrap();
    for (folder, code) in [
        ("run/none", Fault::NOT_FOUND),
        ("run/new", Fault::INVALID),
        ("run/out", Fault::DENIED),
        ("run/..", Fault::DENIED),
        ("skill", Fault::DENIED),
        ("elsewhere", Fault::DENIED),
        ("/", Fault::DENIED),
    ] {
        assert_eq!(bench.run(&here(folder)).await.unwrap_err().code, code, "{folder}");
    }
    let ended = bench.run(&sh("echo $PATH")).await.unwrap();
    assert_eq!(kept(&ended.stdout).trim(), "/usr/bin:/bin");
    // What the skill puts where it may write is not what its name means.
    std::fs::copy("/bin/sh", run.join("evil")).unwrap();
    assert_eq!(
        bench.run(&command("evil", &[])).await.unwrap_err().code,
        Fault::NOT_FOUND
    );
}

#[tokio::test]
async fn a_name_is_not_looked_up_where_the_run_may_write_whatever_the_path_says() {
    let mut bench = Bench::new(&[("process", "sh", ""), ("process", "evil", ""), ("process", "kind", "")]);
    bench
        .run(&sh("mkdir bin; cp /bin/sh bin/evil; ln -s bin/evil kind"))
        .await
        .unwrap();
    let run = bench.folder.path().join("run");
    let away = bench.folder.path().join("away");
    std::fs::create_dir(&away).unwrap();
    std::os::unix::fs::symlink(run.join("bin/evil"), away.join("kind")).unwrap();
    let path = format!("{}:{}:/usr/bin:/bin", run.join("bin").display(), away.display());
    bench.programs.ground = ground(&path);
    assert!(bench.run(&sh("true")).await.is_ok());
    for name in ["evil", "kind"] {
        let fault = bench.run(&command(name, &["-c", "true"])).await.unwrap_err();
        assert_eq!(fault.code, Fault::NOT_FOUND, "{fault:?}");
        assert!(fault.message.contains("where the run may write"), "{}", fault.message);
    }
}

#[tokio::test]
async fn of_a_long_output_the_end_is_kept_and_merged_outputs_are_one() {
    let bench = Bench::new(SH);
    let long = Command {
        keep_bytes: Some(10),
        ..sh("i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done")
    };
    let ended = bench.run(&long).await.unwrap();
    assert_eq!((kept(&ended.stdout), ended.stdout.cut_bytes), ("\nline 999\n", 8_880));
    assert_eq!(bench.printed().len(), 1_000);
    let merged = Command {
        merged: true,
        ..sh("echo one; echo two >&2; echo three")
    };
    let ended = bench.run(&merged).await.unwrap();
    assert_eq!(
        (kept(&ended.stdout), ended.stderr),
        ("one\ntwo\nthree\n", Output::empty())
    );
}

#[tokio::test]
async fn the_whole_group_ends_when_it_takes_too_long() {
    let bench = Bench::new(SH);
    let timeout = Some(Duration::from_millis(300));
    let fault = bench
        .run_within(&sh("sleep 1000 & echo $!; wait"), timeout)
        .await
        .unwrap_err();
    assert_eq!(fault.code, Fault::TIMEOUT);
    let [pid] = &bench.printed()[..] else {
        panic!("{:?}", bench.printed())
    };
    assert!(
        fault.message.ends_with(&format!("the last that it printed: {pid}")),
        "{}",
        fault.message
    );
    until(|| !is_alive(pid)).await;
    assert!(!bench.folder.path().join("programs").exists());
}

#[tokio::test]
async fn what_left_the_group_ends_too_when_nobody_waits_any_more() {
    let bench = Bench::new(SH);
    let command = sh("sh -c 'setsid sleep 1000 & echo $!'; sleep 1000");
    {
        let mut running = pin!(bench.run(&command));
        tokio::select! {
            ended = &mut running => panic!("{ended:?}"),
            () = bench.until_printed(1) => {}
        }
    }
    assert!(!is_alive(&bench.printed()[0]));
    assert!(!bench.folder.path().join("programs").exists());
}

#[tokio::test]
async fn the_whole_group_ends_when_nobody_waits_any_more() {
    let bench = Bench::new(SH);
    let command = sh("sleep 1000 & echo $!; echo $$; wait");
    {
        let mut running = pin!(bench.run(&command));
        tokio::select! {
            ended = &mut running => panic!("{ended:?}"),
            () = bench.until_printed(2) => {}
        }
        assert!(bench.folder.path().join("programs/0.json").exists());
    }
    for pid in bench.printed() {
        until(|| !is_alive(&pid)).await;
    }
    assert!(!bench.folder.path().join("programs").exists());
}

#[tokio::test]
async fn what_a_program_leaves_behind_in_its_group_ends_with_it() {
    let bench = Bench::new(SH);
    let ended = bench.run(&sh("sleep 1000 & echo $!")).await.unwrap();
    assert_eq!(ended.end, End::Exited(0));
    let pid = kept(&ended.stdout).to_owned();
    until(|| !is_alive(&pid)).await;
}

#[tokio::test]
async fn what_leaves_the_group_is_not_waited_for() {
    let bench = Bench::new(SH);
    let ended = bench.run(&sh("setsid sleep 1000 & echo $!")).await.unwrap();
    let pid = Pid::from_raw(kept(&ended.stdout).trim().parse().unwrap()).unwrap();
    assert_eq!(ended.end, End::Exited(0));
    rustix::process::kill_process(pid, Signal::KILL).ok();
}

#[tokio::test]
async fn what_cannot_be_executed_says_why() {
    let bench = Bench::new(&[]);
    let path = bench.folder.path().join("no-program");
    std::fs::write(&path, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let path = path.to_str().unwrap();
    let bench = Bench::new(&[("process", path, "")]);
    let fault = bench.run(&command(path, &[])).await.unwrap_err();
    assert_eq!(fault.code, Fault::FAILED);
    assert!(fault.message.contains("could not start"), "{}", fault.message);
    assert!(!bench.folder.path().join("programs").exists());
}

#[test]
fn what_is_held_and_never_let_go_does_nothing() {
    let bench = Bench::new(&[]);
    let proof = bench.folder.path().join("proof");
    let failure = bench.folder.path().join("failure");
    let holder = &bench.programs.ground.0.holder;
    let mut held = holder.command(
        &failure,
        Path::new("/bin/touch"),
        "touch",
        &[proof.to_str().unwrap().to_owned()],
    );
    assert_eq!(held.stdin(Io::null()).status().unwrap().code(), Some(127));
    assert!(!proof.exists() && !failure.exists());
}

/// Starts something as a host does that dies then: its child is nobody's any more, and its file stays.
fn survivor(folder: &Path, script: &str) -> std::process::Child {
    let mut program = Program::new("sh");
    // It begins when its file is there.
    let script = format!("read begin; {script}");
    program
        .args(["-c", &script])
        .process_group(0)
        .stdin(Io::piped())
        .stdout(Io::piped());
    // Of this test alone: others run at the same time.
    let key = folder.to_str().unwrap();
    let mut child = program.env(record::MARK, key).spawn().unwrap();
    let mut record = Records::new(folder.to_owned()).reserve(Number(0)).unwrap();
    record.write(Pid::from_child(&child), key, "sh").unwrap();
    std::mem::forget(record);
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"begin\n").unwrap();
    child
}

fn first_line(child: &mut std::process::Child) -> String {
    let mut line = String::new();
    std::io::BufRead::read_line(&mut io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    line
}

#[test]
fn r4_what_survived_the_host_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join("programs");
    let mut child = survivor(&programs, "sleep 1000 & sh -c 'setsid sleep 1000 & echo $!'; wait");
    let away = first_line(&mut child);
    assert!(is_alive(&away));
    assert_eq!(end_survivors(&programs).unwrap(), ["sh"]);
    assert!(!is_alive(&away));
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert!(!programs.exists());
    assert_eq!(end_survivors(&programs).unwrap(), Vec::<String>::new());
}

#[test]
fn r4_what_a_survivor_started_is_ended_also_if_it_is_gone_itself() {
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join("programs");
    let mut child = survivor(&programs, "sleep 1000 >&- & echo $!");
    let left = first_line(&mut child);
    child.wait().unwrap();
    assert!(is_alive(&left));
    assert_eq!(end_survivors(&programs).unwrap(), ["sh"]);
    assert!(!is_alive(&left));
}

#[test]
fn r4_what_is_left_of_the_group_is_ended_also_without_the_mark_and_the_leader() {
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join("programs");
    let mut child = survivor(&programs, "env -i sleep 1000 >&- & echo $!");
    let left = first_line(&mut child);
    child.wait().unwrap();
    assert!(is_alive(&left));
    assert_eq!(end_survivors(&programs).unwrap(), ["sh"]);
    assert!(!is_alive(&left));
}

#[test]
fn r4_a_process_that_was_given_the_number_of_an_earlier_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let mut other = Program::new("sleep").arg("1000").process_group(0).spawn().unwrap();
    let file = programs.join("0.json");
    let pid = other.id();
    let session = table::find(Pid::from_child(&other)).unwrap().session;
    let text =
        format!(r#"{{"pid":{pid},"session":{session},"since":"1 an earlier start","key":"run/0","program":"sh"}}"#);
    std::fs::write(&file, text).unwrap();
    // One that was being written when the host died names nobody: its program was never let go.
    std::fs::write(programs.join("1.new"), "{").unwrap();
    std::fs::write(programs.join("2.json"), "{").unwrap();
    assert_eq!(end_survivors(&programs).unwrap(), Vec::<String>::new());
    assert!(is_alive(&pid.to_string()));
    assert!(!programs.exists());
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn a_run_whose_programs_take_long_keeps_nobody_else_waiting() {
    let bench = Bench::new(&[("process", "sh", "")]);
    let script = sh("echo started; sleep 60");
    // Each as if it were another call of the same run, with a file of its own.
    let of_calls: Vec<Programs> = (0..AT_ONCE_OF_RUN_MAX + 4)
        .map(|call| Programs {
            records: Records::new(bench.folder.path().join(format!("programs-{call}"))),
            ..bench.programs.clone()
        })
        .collect();
    let many = of_calls.iter().map(|programs| bench.run_by(programs, &script, None));
    let many = futures::future::join_all(many);
    let other = Bench {
        programs: Programs::new(
            bench.programs.ground.clone(),
            granted(&[("process", "sh", "")]),
            bench.folder.path().join("other"),
        ),
        ..Bench::new(&[])
    };
    let beside = async {
        bench.until_printed(AT_ONCE_OF_RUN_MAX).await;
        other.run(&sh("echo done")).await.unwrap()
    };
    tokio::select! {
        _ = many => panic!("they take longer than the other"),
        ended = beside => assert_eq!(kept(&ended.stdout), "done\n"),
    }
    assert_eq!(bench.printed().len(), AT_ONCE_OF_RUN_MAX);
}
