//! The folders and files of his that the user gives a run: named at its launch (`--mount`), or by paths in its input.
//!
//! What is given is settled when the run is made and stands in its `started` entry: the real path, without links, and the name by which the guest knows it. The guest
//! sees nothing of the path. Start with [`Ground`], which also says what nobody may give: the folders in which skillhost keeps keys and journals, say.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;
use skillhost_core::entry::{Giving, Mount, Source};
use skillhost_effects::files::{self, MOUNTS_MAX, OWN};

use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::Home;
use crate::schema::Schema;
use crate::terminal::plain_line;

/// The format of a schema for texts that are paths.
pub const PATH_FORMAT: &str = "path";

/// What `--mount` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// What the guest is to call it.
    pub name: String,
    /// Where it lies, as it was typed.
    pub path: String,
    /// Whether the guest may change what is there.
    pub writable: bool,
}

/// Parses `NAME=PATH`, `NAME=PATH:rw` or `NAME=PATH:ro`.
pub fn parse_word(text: &str) -> std::result::Result<Word, String> {
    let (name, path) = text
        .split_once('=')
        .filter(|(_, path)| !path.is_empty())
        .ok_or_else(|| {
            "a mount is given as NAME=PATH, or NAME=PATH:rw to let the skill change what is there".to_owned()
        })?;
    let (path, writable) = match (path.strip_suffix(":rw"), path.strip_suffix(":ro")) {
        (Some(path), _) => (path, true),
        (None, Some(path)) => (path, false),
        (None, None) => (path, false),
    };
    files::check_name(name).map_err(|e| e.to_string())?;
    if OWN.contains(&name) {
        return Err(format!(
            "every run has a mount `{name}` of its own; give it another name"
        ));
    }
    Ok(Word {
        name: name.to_owned(),
        path: path.to_owned(),
        writable,
    })
}

/// Where paths are looked for, and what is nobody's to give.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// What relative paths begin at.
    pub caller_folder: Option<&'a Path>,
    /// The user's own folder, which `~` stands for.
    pub user_folder: Option<&'a Path>,
    /// The state folder.
    pub home: &'a Home,
    /// The folder of skills.
    pub skills: &'a Path,
}

/// What is at a path that somebody gave.
#[derive(Debug)]
struct Real {
    /// Absolute, and without links.
    path: PathBuf,
    /// Whether it is a folder, and not a file.
    is_folder: bool,
}

impl Ground<'_> {
    /// Returns the mount that a word of the launch asks for.
    pub fn named(&self, word: &Word, given: Giving) -> Result<Mount> {
        let what = format!("mount `{}`", word.name);
        let real = self.real(&what, &word.path)?;
        if word.writable && !real.is_folder {
            let message = format!(
                "`{}` is a file, and only folders are mounted to be changed",
                plain_line(&word.path)
            );
            return Err(CliError::invalid("bad_mount", message).hint("mount the folder that it lies in"));
        }
        self.mount(word.name.clone(), &real, word.writable, given)
    }

    /// Makes a mount of every path in an input, and puts in its place what the guest calls it.
    pub fn of_input(&self, input: &mut Value, schema: &Schema) -> Result<Vec<Mount>> {
        let mut mounts = Vec::new();
        for place in places(input, schema)? {
            let text = text_at(input, &place);
            let real = self.real(&format!("field `{}`", shown(&place)), &text)?;
            let mount = self.mount(name_of(&place), &real, false, Giving::Input)?;
            put(input, &place, &mount);
            mounts.push(mount);
        }
        Ok(mounts)
    }

    /// Puts into an input, in the place of its paths, what a run was given for them; `None` if it was given something else. What has gone since is known by its name.
    pub fn as_given(&self, input: &mut Value, schema: &Schema, given: &[Mount]) -> Result<Option<()>> {
        let mut of_input = given.iter().filter(|mount| is_given(mount, Giving::Input)).count();
        for place in places(input, schema)? {
            let name = name_of(&place);
            let text = text_at(input, &place);
            let known = given
                .iter()
                .find(|mount| mount.name == name && is_given(mount, Giving::Input));
            match known.filter(|mount| self.leads_to(&text, mount)) {
                Some(mount) => put(input, &place, mount),
                None => return Ok(None),
            }
            of_input -= 1;
        }
        Ok((of_input == 0).then_some(()))
    }

    /// Returns whether the words of a launch ask for what a run was given.
    pub fn were_given(&self, words: &[Word], given: &[Mount]) -> bool {
        let of_launch: Vec<&Mount> = given.iter().filter(|mount| is_given(mount, Giving::Launch)).collect();
        of_launch.len() == words.len()
            && words.iter().all(|word| {
                let known = of_launch.iter().find(|mount| mount.name == word.name);
                known.is_some_and(|mount| mount.writable == word.writable && self.leads_to(&word.path, mount))
            })
    }

    fn leads_to(&self, text: &str, mount: &Mount) -> bool {
        let Some(source) = &mount.source else {
            return false;
        };
        let before = match &source.file {
            Some(file) => Path::new(&source.folder).join(file),
            None => PathBuf::from(&source.folder),
        };
        let Ok(path) = self.absolute("", text) else {
            return false;
        };
        fs::canonicalize(&path).unwrap_or(path) == before
    }

    fn mount(&self, name: String, real: &Real, writable: bool, given: Giving) -> Result<Mount> {
        self.check(&real.path, writable)?;
        let bad = |e: &dyn std::error::Error| CliError::of(Exit::Invalid, "bad_mount", e);
        files::check_name(&name).map_err(|e| bad(&e))?;
        let text = |path: &Path| path.to_str().map(str::to_owned);
        let source = match (real.is_folder, real.path.parent(), real.path.file_name()) {
            (true, ..) => text(&real.path).map(|folder| (folder, None)),
            (false, Some(folder), Some(file)) => text(folder).zip(file.to_str().map(|file| Some(file.to_owned()))),
            (false, ..) => None,
        };
        let source = source.filter(|(_, file)| file.as_deref().is_none_or(files::is_nameable));
        let Some((folder, file)) = source else {
            let message = format!(
                "`{}` has a name that no skill could write",
                plain_line(&real.path.to_string_lossy())
            );
            return Err(CliError::invalid("bad_mount", message).hint("a path is UTF-8 text without control characters"));
        };
        let source = Some(Source { folder, file, given });
        Ok(Mount { name, writable, source })
    }

    /// Finds what is at a path.
    fn real(&self, what: &str, text: &str) -> Result<Real> {
        let path = self.absolute(what, text)?;
        let missing = |e: std::io::Error| {
            let message = format!("{what}: there is nothing at `{}`", plain_line(text));
            let error = CliError::invalid("no_such_path", message).caused_by(&e);
            match path.as_os_str() == text {
                true => error,
                false => error.hint(format!("it was looked for at `{}`", path.display())),
            }
        };
        let path = fs::canonicalize(&path).map_err(missing)?;
        let metadata = fs::metadata(&path).map_err(missing)?;
        if !metadata.is_dir() && !metadata.is_file() {
            let message = format!("{what}: `{}` is neither a file nor a folder", plain_line(text));
            return Err(CliError::invalid("no_such_path", message));
        }
        Ok(Real {
            path,
            is_folder: metadata.is_dir(),
        })
    }

    fn absolute(&self, what: &str, text: &str) -> Result<PathBuf> {
        if text.is_empty() {
            return Err(CliError::invalid("no_such_path", format!("{what}: the path is empty")));
        }
        let below_user = match text {
            "~" => Some(""),
            text => text.strip_prefix("~/"),
        };
        if let (Some(rest), Some(user)) = (below_user, self.user_folder) {
            return Ok(plain(&user.join(rest)));
        }
        let path = Path::new(text);
        match self.caller_folder {
            _ if path.is_absolute() => Ok(plain(path)),
            Some(caller) => Ok(plain(&caller.join(path))),
            None => Err(CliError::invalid(
                "no_such_path",
                format!(
                    "{what}: `{}` is relative, and the current folder is not there",
                    plain_line(text)
                ),
            )),
        }
    }

    /// Refuses what is nobody's to give.
    fn check(&self, path: &Path, writable: bool) -> Result<()> {
        let refused = |why: String| {
            let message = format!(
                "`{}` is not given to a skill: {why}",
                plain_line(&path.to_string_lossy())
            );
            Err(CliError::invalid("mount_refused", message).hint("give a folder in it, or another one"))
        };
        if path == Path::new("/") {
            return refused("it is the whole machine".to_owned());
        }
        for system in ["/proc", "/sys", "/dev"] {
            if path.starts_with(system) && !path.starts_with("/dev/shm") {
                return refused(format!("`{system}` holds no files but what the system makes up"));
            }
        }
        if overlap(path, self.home.user()) {
            return refused("skillhost keeps keys and journals there, or below it".to_owned());
        }
        if writable && overlap(path, self.home.root()) {
            return refused("skillhost keeps the journals of this crate there, or below it".to_owned());
        }
        if writable && overlap(path, self.skills) {
            return refused("it could change skills there, or below it".to_owned());
        }
        Ok(())
    }

    /// Returns whether a mount lets a skill change all that is the user's.
    pub fn opens_everything(&self, mount: &Mount) -> bool {
        let source = mount.source.as_ref().filter(|_| mount.writable);
        source.is_some_and(|source| real(self.user_folder).is_some_and(|user| user.starts_with(&source.folder)))
    }

    /// Returns whether a mount lets a skill change what does not lie in the folder that the launch came from.
    ///
    /// An agent works in that folder, and changes things there anyway. Elsewhere a hint must not lead it to have a skill do what it may not do itself.
    pub fn opens_elsewhere(&self, mount: &Mount) -> bool {
        let source = mount.source.as_ref().filter(|_| mount.writable);
        source.is_some_and(|source| {
            !real(self.caller_folder).is_some_and(|caller| Path::new(&source.folder).starts_with(caller))
        })
    }
}

/// Makes a mount of every path in the input that a run gives to one that it calls, and puts in its place what that one calls it. `place` tells in which folder a path of the
/// caller's lies, and where in it.
pub fn of_caller(
    input: &mut Value,
    schema: &Schema,
    place: impl Fn(&str) -> Option<(String, String)>,
) -> Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    for at in places(input, schema)? {
        let text = text_at(input, &at);
        let missing = || {
            let message = format!(
                "field `{}`: this run has nothing at `{}`",
                shown(&at),
                plain_line(&text)
            );
            CliError::invalid("no_such_path", message)
        };
        let (folder, rest) = place(&text).ok_or_else(missing)?;
        // The folder had no link when it was given; what lies in it may be one, which must not lead out.
        let path = fs::canonicalize(Path::new(&folder).join(rest)).map_err(|_| missing())?;
        let metadata = fs::metadata(&path).map_err(|_| missing())?;
        let (parent, name) = (path.parent(), path.file_name());
        let (of, file) = match (metadata.is_dir(), metadata.is_file(), parent, name) {
            (true, ..) => (path.as_path(), None),
            (_, true, Some(parent), Some(name)) => (parent, name.to_str()),
            _ => return Err(missing()),
        };
        let is_inside = path.starts_with(fs::canonicalize(&folder).map_err(|_| missing())?);
        let (true, Some(of)) = (is_inside && (metadata.is_dir() || file.is_some()), of.to_str()) else {
            return Err(missing());
        };
        let mount = Mount {
            name: name_of(&at),
            writable: false,
            source: Some(Source {
                folder: of.to_owned(),
                file: file.map(str::to_owned),
                given: Giving::Input,
            }),
        };
        files::check_name(&mount.name).map_err(|e| CliError::of(Exit::Invalid, "bad_mount", &e))?;
        put(input, &at, &mount);
        mounts.push(mount);
    }
    Ok(mounts)
}

/// Checks that no two mounts of a run have one name, and that there are not too many.
pub fn check_all(mounts: &[Mount]) -> Result<()> {
    if mounts.len() > MOUNTS_MAX {
        let message = format!("{} mounts are too many: a run may have {MOUNTS_MAX}", mounts.len());
        return Err(CliError::invalid("bad_mount", message).hint("give the folder that the files lie in"));
    }
    let twice = mounts
        .iter()
        .enumerate()
        .find(|(index, mount)| mounts[..*index].iter().any(|known| known.name == mount.name));
    match twice {
        None => Ok(()),
        Some((_, mount)) => Err(CliError::invalid(
            "bad_mount",
            format!(
                "there are two mounts `{}`: each needs a name of its own, and so do paths in the input",
                mount.name
            ),
        )),
    }
}

/// Returns whether a mount was given in this way.
pub fn is_given(mount: &Mount, given: Giving) -> bool {
    mount.source.as_ref().is_some_and(|source| source.given == given)
}

/// Returns where a mount lies, for people; `None` if every run has it.
pub fn shown_source(mount: &Mount) -> Option<String> {
    let source = mount.source.as_ref()?;
    let path = match &source.file {
        Some(file) => Path::new(&source.folder).join(file).to_string_lossy().into_owned(),
        None => source.folder.clone(),
    };
    Some(plain_line(&path))
}

fn real(path: Option<&Path>) -> Option<PathBuf> {
    path.and_then(|path| fs::canonicalize(path).ok())
}

/// Returns whether one of two folders is the other, or lies in it. Paths that are not there are compared as they are written.
fn overlap(path: &Path, other: &Path) -> bool {
    let other = fs::canonicalize(other).unwrap_or_else(|_| other.to_owned());
    path.starts_with(&other) || other.starts_with(path)
}

/// Returns an absolute path without `.` and `..`, as it is written.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            // A link before it leads elsewhere than its name says: that is for the file system to resolve.
            part => plain.push(part),
        }
    }
    plain
}

fn places(input: &Value, schema: &Schema) -> Result<Vec<String>> {
    schema.of_format(PATH_FORMAT, input).map_err(|why| {
        CliError::new(
            Exit::Unsupported,
            "bad_description",
            format!("the schema of the input cannot be used: {why}"),
        )
        .hint("rebuild the skill, or tell its author")
    })
}

fn text_at(input: &Value, place: &str) -> String {
    let text = input.pointer(place).and_then(Value::as_str);
    text.expect("what is of a format is a text").to_owned()
}

/// Puts in the place of a path what the guest calls it.
fn put(input: &mut Value, place: &str, mount: &Mount) {
    let file = mount.source.as_ref().and_then(|source| source.file.as_deref());
    let seen = match file {
        Some(file) => format!("{}/{file}", mount.name),
        None => mount.name.clone(),
    };
    *input.pointer_mut(place).expect("it was found there") = Value::String(seen);
}

/// Returns the parts of a place in an input, with the elements of lists counted from 1.
fn parts(place: &str) -> impl Iterator<Item = String> + '_ {
    place.split('/').skip(1).map(|part| match part.parse::<usize>() {
        Ok(index) => (index + 1).to_string(),
        Err(_) => part.replace("~1", "/").replace("~0", "~"),
    })
}

/// Returns what the mount of a path in an input is called: `project`, `files-2`.
fn name_of(place: &str) -> String {
    let name = parts(place).collect::<Vec<_>>().join("-");
    match name.as_str() {
        "" => "input".to_owned(),
        own if OWN.contains(&own) => format!("{own}-input"),
        _ => name,
    }
}

fn shown(place: &str) -> String {
    parts(place).collect::<Vec<_>>().join(".")
}
