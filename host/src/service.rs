//! Has the system start the daemon when its user logs in: a systemd user unit, or a launchd agent.
//!
//! Without it the daemon is started by the next command, so after a reboot a timer fires late.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::{self, Home};

/// The name of the unit, and the label of the agent.
const NAME: &str = "skillhost-worker";
const LABEL: &str = "dev.skillhost.worker";

/// A service manager, with the file that it reads and the commands that have it read that.
struct Manager {
    file: PathBuf,
    text: String,
    enable: Vec<Vec<String>>,
    disable: Vec<Vec<String>>,
}

/// Writes the file and has the manager start the daemon. Returns what was done, in words.
pub fn install(home: &Home, user_folder: Option<&Path>) -> Result<String> {
    let manager = manager(home, user_folder)?;
    home::write_whole(&manager.file, manager.text.as_bytes()).map_err(|e| {
        let message = format!("could not write `{}`", manager.file.display());
        CliError::new(Exit::Storage, "not_written", message).caused_by(&e)
    })?;
    for words in &manager.enable {
        run(words)?;
    }
    Ok(format!(
        "`{}` is written; the daemon starts when you log in, and stays",
        manager.file.display()
    ))
}

/// Undoes [`install`]. Returns what was done, in words.
pub fn uninstall(home: &Home, user_folder: Option<&Path>) -> Result<String> {
    let manager = manager(home, user_folder)?;
    if !manager.file.exists() {
        return Ok("the system does not start the daemon; nothing was done".to_owned());
    }
    for words in &manager.disable {
        run(words)?;
    }
    std::fs::remove_file(&manager.file).map_err(|e| {
        let message = format!("could not remove `{}`", manager.file.display());
        CliError::new(Exit::Storage, "not_removed", message).caused_by(&e)
    })?;
    Ok(format!(
        "`{}` is removed; the first command that needs the daemon starts it",
        manager.file.display()
    ))
}

/// Returns whether the system starts the daemon.
pub fn is_installed(home: &Home, user_folder: Option<&Path>) -> bool {
    manager(home, user_folder).is_ok_and(|manager| manager.file.exists())
}

fn manager(home: &Home, user_folder: Option<&Path>) -> Result<Manager> {
    let user_folder = user_folder.ok_or_else(|| {
        CliError::new(Exit::Host, "no_home", "this user has no home folder").hint("`export HOME=/path/to/it`")
    })?;
    let program = std::env::current_exe().map_err(|e| {
        CliError::new(Exit::Host, "no_program", "could not find out where this program is").caused_by(&e)
    })?;
    match std::env::consts::OS {
        "macos" => Ok(launchd(home, user_folder, &program)),
        _ => Ok(systemd(home, user_folder, &program)),
    }
}

fn systemd(home: &Home, user_folder: &Path, program: &Path) -> Manager {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Manager {
        file: user_folder.join(".config/systemd/user").join(format!("{NAME}.service")),
        text: format!(
            "[Unit]\nDescription=skillhost worker daemon\n\n[Service]\nExecStart={} worker run --stay\nEnvironment={}\nRestart=on-failure\n\n[Install]\nWantedBy=default.target\n",
            quoted(&program.display().to_string()),
            quoted(&format!("{}={}", crate::env::HOME, home.root().display())),
        ),
        enable: vec![
            words(&["systemctl", "--user", "daemon-reload"]),
            words(&["systemctl", "--user", "enable", "--now", NAME]),
        ],
        disable: vec![words(&["systemctl", "--user", "disable", "--now", NAME])],
    }
}

/// Quotes a word of a unit file: `%` begins a specifier there, and a backslash or a quote ends the word.
fn quoted(word: &str) -> String {
    let escaped = word
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    format!("\"{escaped}\"")
}

fn launchd(home: &Home, user_folder: &Path, program: &Path) -> Manager {
    let file = user_folder.join("Library/LaunchAgents").join(format!("{LABEL}.plist"));
    let domain = format!("gui/{}", rustix::process::getuid().as_raw());
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Manager {
        text: format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\"><dict>\n  <key>Label</key><string>{LABEL}</string>\n  <key>ProgramArguments</key><array>\n    <string>{}</string><string>worker</string><string>run</string><string>--stay</string>\n  </array>\n  <key>EnvironmentVariables</key><dict><key>{}</key><string>{}</string></dict>\n  <key>RunAtLoad</key><true/>\n  <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>\n</dict></plist>\n",
            escaped(&program.display().to_string()),
            crate::env::HOME,
            escaped(&home.root().display().to_string()),
        ),
        enable: vec![words(&["launchctl", "bootstrap", &domain, &file.display().to_string()])],
        disable: vec![words(&["launchctl", "bootout", &format!("{domain}/{LABEL}")])],
        file,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn run(words: &[String]) -> Result<()> {
    let line = words.join(" ");
    let failed = |why: String| {
        CliError::new(Exit::Host, "service_manager", format!("`{line}` failed: {why}"))
            .hint(format!("run `{line}` yourself to see why"))
    };
    let output = Command::new(&words[0]).args(&words[1..]).output();
    let output = output.map_err(|e| failed(e.to_string()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::env::Environment;

    fn home() -> Home {
        let environment = Environment {
            home: Some("/state of mine".into()),
            ..Environment::current()
        };
        Home::find(&environment).unwrap()
    }

    #[test]
    fn a_unit_starts_the_daemon_with_its_state_folder_whatever_that_is_called() {
        let manager = systemd(&home(), Path::new("/home/ada"), Path::new("/opt/100% ours/skillhost"));
        assert_eq!(
            manager.file,
            Path::new("/home/ada/.config/systemd/user/skillhost-worker.service")
        );
        assert!(
            manager
                .text
                .contains("ExecStart=\"/opt/100%% ours/skillhost\" worker run --stay\n")
        );
        assert!(manager.text.contains("Environment=\"SKILLHOST_HOME=/state of mine\"\n"));
    }

    #[test]
    fn an_agent_starts_the_daemon_with_its_state_folder_whatever_that_is_called() {
        let manager = launchd(&home(), Path::new("/Users/ada"), Path::new("/opt/a&b/skillhost"));
        assert!(
            manager
                .text
                .contains("<string>/opt/a&amp;b/skillhost</string><string>worker</string>")
        );
        assert!(
            manager
                .text
                .contains("<key>SKILLHOST_HOME</key><string>/state of mine</string>")
        );
    }
}
