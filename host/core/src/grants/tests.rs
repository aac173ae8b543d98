//! What is asked for, what is granted, and what may then be done.

#![allow(clippy::unwrap_used, reason = "a test")]

use super::*;

fn place(url: &str) -> Place {
    let (secure, rest) = match url.strip_prefix("http://") {
        Some(rest) => (false, rest),
        None => (true, url),
    };
    let (host, port) = rest
        .rsplit_once(':')
        .unwrap_or((rest, if secure { "443" } else { "80" }));
    Place {
        secure,
        host: host.to_owned(),
        port: port.parse().unwrap(),
    }
}

fn granted(capability: &str, target: &str, access: &str) -> Grants {
    asked(capability, Some(target), Some(access)).unwrap().unwrap()
}

#[test]
fn a_host_is_granted_with_its_scheme_and_its_port() {
    for (pattern, url, expected) in [
        ("example.org", "example.org", true),
        ("example.org", "example.org.", true),
        ("example.org", "example.org:8443", false),
        ("example.org", "http://example.org", false),
        ("example.org", "www.example.org", false),
        ("example.org", "notexample.org", false),
        ("*.example.org", "www.example.org", true),
        ("*.example.org", "a.b.example.org", true),
        ("*.example.org", "example.org", false),
        ("*.example.org", "notexample.org", false),
        ("*.example.org", ".example.org", false),
        ("example.org:8443", "example.org:8443", true),
        ("http://localhost:8080", "http://localhost:8080", true),
        ("http://localhost:8080", "localhost:8080", false),
        ("http://localhost:*", "http://localhost:1", true),
        ("127.0.0.1", "127.0.0.1", true),
    ] {
        let grants = granted("http", pattern, "read");
        assert_eq!(
            grants.site("GET", &place(url), &[]).is_ok(),
            expected,
            "{pattern} {url}"
        );
    }
}

#[test]
fn what_names_no_host_cannot_be_granted() {
    for text in [
        "",
        "*",
        "*.",
        "a*.org",
        "Example.org",
        "bücher.de",
        "user@host",
        "host/path",
        "ftp://host",
        "host:99999",
        "0x7f.1",
        "127.1",
        "[::0]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "*.[::1]",
        "a..b",
    ] {
        assert!(text.parse::<HostPattern>().is_err(), "{text}");
    }
    for text in [
        "example.org",
        "*.a-b.org:8443",
        "http://[::1]:3000",
        "[2001:db8::1]",
        "http://localhost:*",
    ] {
        assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
    }
}

#[test]
fn to_read_is_not_to_write_and_what_is_denied_says_what() {
    let grants = granted("http", "example.org", "read");
    let said = |method: &str, url: &str| grants.site(method, &place(url), &[]).unwrap_err().to_string();
    assert!(grants.site("HEAD", &place("example.org"), &[]).is_ok());
    assert_eq!(
        said("POST", "example.org"),
        "the method POST was not granted for https://example.org"
    );
    assert_eq!(said("GET", "other.org"), "https://other.org was not granted");
    let grants = granted("http", "example.org", "read-write");
    assert!(grants.site("DELETE", &place("example.org"), &[]).is_ok());
}

#[test]
fn a_program_is_granted_by_the_name_that_it_is_called_by_and_with_its_variables() {
    let grants = granted("process", "cargo", "HOME CARGO_HOME");
    assert!(grants.program("cargo", ["HOME"], &[]).is_ok());
    for (program, variable, says) in [
        ("/usr/bin/cargo", None, "the program `/usr/bin/cargo` was not granted"),
        ("sh", None, "the program `sh` was not granted"),
        (
            "cargo",
            Some("LD_PRELOAD"),
            "the variable `LD_PRELOAD` was not granted for the program `cargo`",
        ),
    ] {
        assert_eq!(grants.program(program, variable, &[]).unwrap_err().to_string(), says);
    }
    assert!(asked("process", Some("./x"), None).is_err());
    assert!(asked("process", Some("cargo"), Some("PATH")).is_err());
    assert!(asked("process", None, None).unwrap_err().contains("on what"));
    assert_eq!(asked("files", Some("project"), Some("read")), Ok(None));
}

#[test]
fn what_was_granted_covers_the_same_and_less_but_not_more() {
    let mut grants = granted("process", "cargo", "HOME");
    grants.add(&granted("http", "*.example.org", "read-write private"));
    for (capability, target, access, expected) in [
        ("process", "cargo", "", true),
        ("process", "cargo", "HOME", true),
        ("process", "cargo", "HOME SECRET", false),
        ("process", "git", "", false),
        ("http", "www.example.org", "read", true),
        ("http", "*.www.example.org", "read-write private", true),
        ("http", "*.org", "read", false),
        ("http", "example.org", "read", false),
        ("http", "www.example.org:8443", "read", false),
    ] {
        let more = granted(capability, target, access);
        assert_eq!(grants.covers(&more), expected, "{capability} {target} {access}");
    }
    let more = granted("process", "cargo", "SECRET");
    grants.add(&more);
    assert!(grants.covers(&more) && grants.process.len() == 1);
    let text = serde_json::to_string(&grants).unwrap();
    assert_eq!(
        text,
        r#"{"process":[{"program":"cargo","environment":["HOME","SECRET"]}],"http":[{"host":"*.example.org","methods":["*"],"private":true}]}"#
    );
    assert_eq!(serde_json::from_str::<Grants>(&text).unwrap(), grants);
}

#[test]
fn grants_are_told_in_words() {
    let said = |grants: Grants| {
        let process = grants.process.iter().map(Program::to_string);
        process
            .chain(grants.http.iter().map(Site::to_string))
            .collect::<String>()
    };
    assert_eq!(
        said(granted("process", "cargo", "HOME")),
        "run the program cargo, given the variables HOME"
    );
    assert_eq!(said(granted("http", "example.org", "read")), "read from example.org");
    assert_eq!(
        said(granted("http", "example.org", "read secret:one secret:two private")),
        "read from example.org, told the secrets one, two, also at an address of this machine or its networks"
    );
    assert_eq!(
        said(granted("process", "gh", "HOME secret:gh")),
        "run the program gh, given the variables HOME, told the secret gh"
    );
    assert_eq!(
        said(granted("http", "http://localhost:11434", "read-write private")),
        "send anything to http://localhost:11434, also at an address of this machine or its networks"
    );
}

/// What a skill asks for, or is granted, in the words of its description.
fn all(words: &[(&str, &str, &str)]) -> Grants {
    let mut grants = Grants::default();
    for (capability, target, access) in words {
        let access = (!access.is_empty()).then_some(*access);
        grants.add(&asked(capability, Some(target), access).unwrap().unwrap());
    }
    grants
}

/// What a call wants to do.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Run(&'static str, &'static [&'static str]),
    /// With secrets in its variables.
    RunKnowing(&'static str, &'static [&'static str]),
    Send(&'static str, &'static str),
    /// With secrets in its headers.
    Tell(&'static str, &'static str, &'static [&'static str]),
    /// Whether also at a private address.
    SendHome(&'static str, &'static str),
    Read(&'static str, &'static str),
    Change(&'static str, &'static str),
    Call(&'static str),
}

fn secrets(names: &[&str]) -> Vec<SecretName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn may(grants: &Grants, deed: Deed) -> bool {
    match deed {
        Deed::Run(program, variables) => grants.program(program, variables.iter().copied(), &[]).is_ok(),
        Deed::RunKnowing(program, names) => grants.program(program, [], &secrets(names)).is_ok(),
        Deed::Tell(method, url, names) => grants.site(method, &place(url), &secrets(names)).is_ok(),
        Deed::Send(method, url) => grants.site(method, &place(url), &[]).is_ok(),
        Deed::SendHome(method, url) => grants.site(method, &place(url), &[]).is_ok_and(|site| site.private),
        Deed::Read(mount, path) => grants.uses(mount, path, false).is_ok(),
        Deed::Change(mount, path) => grants.uses(mount, path, true).is_ok(),
        Deed::Call(skill) => grants.skill(&skill.parse().unwrap()).is_ok(),
    }
}

#[test]
fn a_call_may_do_what_was_granted_and_nothing_beside_it() {
    use Deed::{Call, Change, Read, Run, RunKnowing, Send, SendHome, Tell};

    let folder = |mount: &str, path: &str, writable| Grants {
        files: vec![Folder {
            mount: mount.parse().unwrap(),
            path: path.to_owned(),
            writable,
        }],
        ..Grants::default()
    };
    let cargo = all(&[("process", "cargo", "HOME")]);
    let read = all(&[("http", "example.org", "read")]);
    let write = all(&[("http", "example.org", "read-write")]);
    let below = all(&[("http", "*.example.org", "")]);
    let local = all(&[("http", "http://localhost:8080", "read private")]);
    let gh = all(&[("process", "gh", "HOME secret:gh"), ("process", "git", "")]);
    let api = all(&[
        ("http", "api.example.org", "read secret:one"),
        ("http", "api.example.org", "read secret:two"),
        ("http", "*.example.net", "read-write"),
        ("http", "www.example.net", "read secret:net"),
    ]);
    let review = all(&[("skills", "code-review", ""), ("skills", "deep-research", "")]);
    let (docs, out) = (
        folder("docs", "/home/ada/docs", false),
        folder("out", "/home/ada/out", true),
    );
    let table: &[(&Grants, Deed, bool)] = &[
        (&cargo, Run("cargo", &[]), true),
        (&cargo, Run("cargo", &["HOME"]), true),
        (&cargo, Run("cargo", &["PATH"]), false),
        (&cargo, Run("cargo", &["HOME", "TOKEN"]), false),
        (&cargo, Run("/usr/bin/cargo", &[]), false),
        (&cargo, Run("sh", &[]), false),
        (&cargo, Send("GET", "example.org"), false),
        (&cargo, Read("docs", "/home/ada/docs"), false),
        (&read, Send("GET", "example.org"), true),
        (&read, Send("HEAD", "example.org"), true),
        (&read, Send("POST", "example.org"), false),
        (&read, Send("GET", "example.org:8443"), false),
        (&read, Send("GET", "http://example.org"), false),
        (&read, Send("GET", "www.example.org"), false),
        (&read, SendHome("GET", "example.org"), false),
        (&read, Run("cargo", &[]), false),
        (&write, Send("POST", "example.org"), true),
        (&write, Send("DELETE", "example.org"), true),
        (&write, Send("POST", "example.com"), false),
        (&below, Send("GET", "a.example.org"), true),
        (&below, Send("GET", "b.a.example.org"), true),
        (&below, Send("GET", "example.org"), false),
        (&below, Send("GET", "badexample.org"), false),
        (&local, SendHome("GET", "http://localhost:8080"), true),
        (&local, SendHome("POST", "http://localhost:8080"), false),
        (&local, Send("GET", "http://localhost:8081"), false),
        (&local, Send("GET", "localhost:8080"), false),
        (&docs, Read("docs", "/home/ada/docs"), true),
        (&docs, Change("docs", "/home/ada/docs"), false),
        (&docs, Read("docs", "/home/ada/other"), false),
        (&docs, Read("manual", "/home/ada/docs"), false),
        (&out, Read("out", "/home/ada/out"), true),
        (&out, Change("out", "/home/ada/out"), true),
        (&out, Run("cargo", &[]), false),
        (&gh, RunKnowing("gh", &["gh"]), true),
        (&gh, RunKnowing("gh", &["HOME"]), false),
        (&gh, RunKnowing("gh", &["gh", "other"]), false),
        (&gh, RunKnowing("git", &["gh"]), false),
        (&gh, Tell("GET", "api.example.org", &["gh"]), false),
        (&api, Send("GET", "api.example.org"), true),
        (&api, Tell("GET", "api.example.org", &["one"]), true),
        (&api, Tell("GET", "api.example.org", &["two"]), true),
        (&api, Tell("GET", "api.example.org", &["one", "two"]), false),
        (&api, Tell("POST", "api.example.org", &["one"]), false),
        (&api, Tell("GET", "http://api.example.org", &["one"]), false),
        (&api, Tell("GET", "api.example.org:8443", &["one"]), false),
        (&api, Tell("GET", "www.example.net", &["net"]), true),
        (&api, Tell("POST", "www.example.net", &["net"]), false),
        (&api, Tell("GET", "evil.example.net", &["net"]), false),
        (&api, Tell("GET", "www.example.net", &["one"]), false),
        (&review, Call("code-review"), true),
        (&review, Call("deep-research"), true),
        (&review, Call("code"), false),
        (&review, Call("code-reviews"), false),
        (&review, Run("code-review", &[]), false),
        (&review, Send("GET", "code-review"), false),
        (&cargo, Call("cargo"), false),
        (&read, Call("example-org"), false),
    ];
    for (granted, deed, allowed) in table {
        assert_eq!(may(granted, *deed), *allowed, "{deed:?} of {granted:?}");
        assert!(!may(&Grants::default(), *deed), "{deed:?} of nothing");
    }
    // A skill that another one calls may do what both may, and no more. Folders are not handed on, as each run is given its own.
    for (own, ..) in table {
        for (callers, ..) in table {
            let within = own.within(callers);
            for (_, deed, _) in table {
                let is_of_folder = matches!(deed, Read(..) | Change(..));
                let expected = !is_of_folder && may(own, *deed) && may(callers, *deed);
                assert_eq!(may(&within, *deed), expected, "{deed:?} of {own:?} for {callers:?}");
            }
        }
    }
}

#[test]
fn a_skill_that_is_called_may_do_what_it_and_its_caller_may() {
    for (own, callers, both) in [
        (
            ("process", "gh", "HOME USER secret:gh"),
            ("process", "gh", "USER SHELL"),
            Some(("process", "gh", "USER")),
        ),
        (
            ("process", "gh", "secret:gh"),
            ("process", "gh", "HOME secret:gh"),
            Some(("process", "gh", "secret:gh")),
        ),
        (("process", "gh", ""), ("process", "git", ""), None),
        (
            ("http", "*.example.org", "read-write"),
            ("http", "a.example.org", "read"),
            Some(("http", "a.example.org", "read")),
        ),
        (
            ("http", "a.example.org", "read private"),
            ("http", "*.example.org", "read-write"),
            Some(("http", "a.example.org", "read")),
        ),
        (
            ("http", "a.example.org", "read secret:one"),
            ("http", "a.example.org", "read secret:two"),
            Some(("http", "a.example.org", "read")),
        ),
        (
            ("http", "a.example.org", "read private"),
            ("http", "a.example.org", "read private"),
            Some(("http", "a.example.org", "read private")),
        ),
        (
            ("http", "example.org", "read"),
            ("http", "example.org:8443", "read"),
            None,
        ),
        (
            ("skills", "code-review", ""),
            ("skills", "code-review", ""),
            Some(("skills", "code-review", "")),
        ),
        (("skills", "code-review", ""), ("skills", "deep-research", ""), None),
        (("skills", "code-review", ""), ("process", "code-review", ""), None),
    ] {
        let expected = both.map_or_else(Grants::default, |both| all(&[both]));
        assert_eq!(
            all(&[own]).within(&all(&[callers])),
            expected,
            "{own:?} for {callers:?}"
        );
        assert_eq!(
            all(&[callers]).within(&all(&[own])),
            expected,
            "{callers:?} for {own:?}"
        );
    }
}

#[test]
fn a_version_that_asks_for_more_asks_again_and_one_that_asks_for_the_same_or_less_does_not() {
    let old: &[(&str, &str, &str)] = &[
        ("process", "cargo", "HOME"),
        ("http", "example.org", "read-write"),
        ("http", "*.example.net", ""),
        ("process", "gh", "secret:gh"),
        ("http", "api.example.org", "read secret:one secret:two"),
    ];
    let granted = all(old);
    for (asks, is_covered) in [
        (old, true),
        (&old[..1], true),
        (&[], true),
        (&[("process", "cargo", "")], true),
        (&[("process", "cargo", "HOME USER")], false),
        (&[("process", "rustc", "")], false),
        (&[("http", "example.org", "read")], true),
        (&[("http", "example.org", "read private")], false),
        (&[("http", "example.org:8443", "read")], false),
        (&[("http", "a.example.net", "")], true),
        (&[("http", "*.a.example.net", "")], true),
        (&[("http", "a.example.net", "read-write")], false),
        (&[("http", "example.net", "")], false),
        (&[("process", "gh", "")], true),
        (&[("process", "gh", "secret:gh secret:more")], false),
        (&[("process", "cargo", "HOME secret:gh")], false),
        (&[("http", "api.example.org", "read secret:two")], true),
        (&[("http", "api.example.org", "read secret:three")], false),
        (&[("http", "example.org", "read secret:one")], false),
    ] {
        let asks: &[(&str, &str, &str)] = asks;
        let asked = all(asks);
        assert_eq!(granted.covers(&asked), is_covered, "{asks:?}");
        // What is granted then is enough, and nothing is lost by it.
        let mut more = granted.clone();
        more.add(&asked.missing_in(&granted));
        assert!(more.covers(&asked) && more.covers(&granted), "{asks:?}");
    }
}

#[test]
fn a_folder_takes_the_place_of_the_one_that_was_given_under_its_name() {
    let folder = |path: &str, writable| Grants {
        files: vec![Folder {
            mount: "docs".parse().unwrap(),
            path: path.to_owned(),
            writable,
        }],
        ..Grants::default()
    };
    let mut granted = folder("/a", true);
    granted.add(&folder("/b", false));
    assert_eq!(granted, folder("/b", false));
    assert!(!granted.covers(&folder("/b", true)) && folder("/b", true).covers(&granted));
    assert_eq!(folder("/b", true).missing_in(&granted), folder("/b", true));
}
