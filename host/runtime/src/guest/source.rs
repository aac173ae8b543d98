//! Finds the lines of the source that a guest was at when it trapped or printed something.
//!
//! The engine could look them up itself, and would for every guest that is let go of while it waits; so it is not told to. Here the component is read once more, and its line tables, when somebody
//! wants to know. What a component says of its lines is believed as far as it goes: whatever is damaged leaves the frame with the name of its function.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use addr2line::Context;
use gimli::{Dwarf, EndianSlice, LittleEndian};
use self_cell::self_cell;

/// Reads a component again, for its line tables, at most once. Cheap to clone.
#[derive(Clone)]
pub struct Reread {
    read: Arc<dyn Fn() -> Option<Vec<u8>> + Send + Sync>,
    kept: KeptLines,
}

/// The line tables of a component, once somebody wanted them.
#[derive(Clone, Default)]
pub(crate) struct KeptLines(Arc<Mutex<Wanted>>);

#[derive(Default)]
enum Wanted {
    #[default]
    NotYet,
    Read(Tables),
    /// The component is gone, or has none that can be read.
    None,
}

impl Reread {
    /// Reads it by this function, which returns `None` if the component is gone.
    pub fn by(read: impl Fn() -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::shared(&KeptLines::default(), read)
    }

    /// Does the same, unless whoever shares what is kept was faster.
    pub(crate) fn shared(kept: &KeptLines, read: impl Fn() -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self {
            read: Arc::new(read),
            kept: kept.clone(),
        }
    }

    /// Returns the places of addresses, the innermost first; none for an address that no table tells of. Addresses count from the beginning of the component.
    pub(crate) fn places(&self, addresses: &[Option<usize>]) -> Vec<Vec<Place>> {
        // Whatever was going on when it was poisoned only read.
        let mut wanted = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever a damaged table has the reader do concerns only what is told of lines.
        let found = catch_unwind(AssertUnwindSafe(|| {
            if let Wanted::NotYet = *wanted {
                let tables = (self.read)().and_then(Tables::of);
                *wanted = tables.map_or(Wanted::None, Wanted::Read);
            }
            let Wanted::Read(tables) = &*wanted else { return None };
            let places = |address: &Option<usize>| address.map(|address| tables.places(address)).unwrap_or_default();
            Some(addresses.iter().map(places).collect())
        }));
        if found.is_err() {
            *wanted = Wanted::None;
        }
        let found = found.ok().flatten();
        found.unwrap_or_else(|| vec![Vec::new(); addresses.len()])
    }
}

impl fmt::Debug for Reread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reread")
    }
}

/// A place in a function; several are one frame if functions were inlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The function, mangled.
    pub(crate) function: Option<String>,
    /// Where in the source.
    pub(crate) line: Option<Line>,
}

/// A line of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The file, shortened.
    file: String,
    line: u32,
    column: Option<u32>,
    /// Whether it is of the standard library.
    pub(crate) is_of_library: bool,
}

impl Line {
    /// Returns it without its column.
    pub(crate) fn file_and_line(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file_and_line())?;
        match self.column {
            Some(column) => write!(f, ":{column}"),
            None => Ok(()),
        }
    }
}

/// Returns the component without its debugging information, which a guest does not need to run: nine tenths of what is kept, hashed and compressed of one that was just
/// built. All of its code stays at the same address, so the whole one goes on telling the lines.
pub fn without_lines(component: &[u8]) -> Vec<u8> {
    lean(component).unwrap_or_else(|| component.to_vec())
}

fn lean(component: &[u8]) -> Option<Vec<u8>> {
    let module = skill_module(component)?;
    let sections = sections(module.bytes, module.begins)?;
    let code = sections.iter().position(|section| section.id == CODE)?;
    let end_of = |section: &Section<'_>| section.begins + section.bytes.len();
    // What stands before the code stays, whatever it is: without it the code would be elsewhere.
    let mut lean = component[..end_of(&sections[code])].to_vec();
    for after in sections.windows(2).skip(code) {
        if !after[1].is_debugging() {
            lean.extend_from_slice(&component[end_of(&after[0])..end_of(&after[1])]);
        }
    }
    let length = lean.len() - module.begins;
    write_number(&mut lean[module.length_at..module.begins], length);
    lean.extend_from_slice(&component[end_of(&module)..]);
    Some(lean)
}

/// Writes a number into all of the bytes that another one took, which was not smaller.
fn write_number(bytes: &mut [u8], mut number: usize) {
    let last = bytes.len() - 1;
    for (index, byte) in bytes.iter_mut().enumerate() {
        let goes_on = if index < last { 0x80 } else { 0 };
        *byte = u8::try_from(number & 0x7f).expect("seven bits") | goes_on;
        number >>= 7;
    }
}

const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const CODE: u8 = 10;

/// Finds the module that holds the skill; the others are a few functions that pass calls on.
fn skill_module(component: &[u8]) -> Option<Section<'_>> {
    let modules = sections(component, 0)?.into_iter();
    modules
        .filter(|section| section.id == CORE_MODULE)
        .max_by_key(|section| section.bytes.len())
}

type Parsed<'a> = Context<EndianSlice<'a, LittleEndian>>;

self_cell! {
    /// Line tables, and the bytes that they are read from when they are needed.
    struct Parts {
        owner: Vec<u8>,
        #[not_covariant]
        dependent: Parsed,
    }
}

/// The line tables of the module that holds the skill.
struct Tables {
    parts: Parts,
    /// Where the code begins, from which the tables count.
    code: usize,
}

impl Tables {
    fn of(component: Vec<u8>) -> Option<Self> {
        let code = code(&component)?;
        let parts = Parts::try_new(component, |component| parsed(component).ok_or(()));
        Some(Self {
            parts: parts.ok()?,
            code,
        })
    }

    fn places(&self, address: usize) -> Vec<Place> {
        let Some(address) = address
            .checked_sub(self.code)
            .and_then(|address| u64::try_from(address).ok())
        else {
            return Vec::new();
        };
        self.parts.with_dependent(|_, parsed| places(parsed, address))
    }
}

fn code(component: &[u8]) -> Option<usize> {
    let module = skill_module(component)?;
    let sections = sections(module.bytes, module.begins)?;
    Some(sections.iter().find(|section| section.id == CODE)?.begins)
}

fn parsed(component: &[u8]) -> Option<Parsed<'_>> {
    let module = skill_module(component)?;
    let sections = sections(module.bytes, module.begins)?;
    let dwarf = Dwarf::load(|id| {
        let named = sections.iter().find_map(|section| section.named(id.name()));
        Ok::<_, gimli::Error>(EndianSlice::new(named.unwrap_or_default(), LittleEndian))
    });
    Context::from_dwarf(dwarf.ok()?).ok()
}

fn places(parsed: &Parsed<'_>, address: u64) -> Vec<Place> {
    let unit = parsed.find_dwarf_and_unit(address).skip_all_loads();
    let folder = unit.and_then(|unit| unit.comp_dir.map(|folder| folder.to_string_lossy().into_owned()));
    let Ok(mut frames) = parsed.find_frames(address).skip_all_loads() else {
        return Vec::new();
    };
    let mut places = Vec::new();
    while let Ok(Some(frame)) = frames.next() {
        let function = frame
            .function
            .and_then(|function| Some(function.raw_name().ok()?.into_owned()));
        let line = frame.location.and_then(|location| {
            let file = location.file?;
            Some(Line {
                file: shortened(file, folder.as_deref()).to_owned(),
                line: location.line?,
                column: location.column,
                is_of_library: file.contains(LIBRARY),
            })
        });
        places.push(Place { function, line });
    }
    places
}

/// What the paths of the standard library have in them.
const LIBRARY: &str = "/library/";

/// Shortens a path to what says something elsewhere, too: without the folder of the crate, that of all crates, that of the compiler.
pub(crate) fn shortened<'a>(path: &'a str, folder: Option<&str>) -> &'a str {
    let below = |folder: &str| path.strip_prefix(folder)?.strip_prefix('/');
    let within = |marker: &str, parts: usize| {
        let rest = &path[path.find(marker)? + marker.len()..];
        rest.splitn(parts + 1, '/').nth(parts)
    };
    within("/registry/src/", 1)
        .or_else(|| within(LIBRARY, 0))
        .or_else(|| folder.and_then(below))
        .unwrap_or(path)
}

struct Section<'a> {
    id: u8,
    /// Where the length of its content stands, from the beginning of the component.
    length_at: usize,
    /// Where its content begins, from the beginning of the component.
    begins: usize,
    bytes: &'a [u8],
}

impl<'a> Section<'a> {
    /// Returns the content of a custom section of this name.
    fn named(&self, name: &str) -> Option<&'a [u8]> {
        let (own, content) = self.custom()?;
        (own == name.as_bytes()).then_some(content)
    }

    /// Returns whether it is debugging information.
    fn is_debugging(&self) -> bool {
        self.custom().is_some_and(|(name, _)| name.starts_with(b".debug_"))
    }

    /// Returns the name and the content of a custom section.
    fn custom(&self) -> Option<(&'a [u8], &'a [u8])> {
        if self.id != CUSTOM {
            return None;
        }
        let (length, rest) = number(self.bytes)?;
        rest.split_at_checked(length)
    }
}

/// Returns the sections of a component or a module that begins there in it.
fn sections(binary: &[u8], begins: usize) -> Option<Vec<Section<'_>>> {
    const HEAD_BYTES: usize = 8;
    let mut rest = binary.get(HEAD_BYTES..)?;
    let mut sections = Vec::new();
    let whole = binary.len();
    while let Some((id, after)) = rest.split_first() {
        let length_at = begins + (whole - after.len());
        let (length, after) = number(after)?;
        let (bytes, after) = after.split_at_checked(length)?;
        let begins = begins + (whole - after.len() - length);
        sections.push(Section {
            id: *id,
            length_at,
            begins,
            bytes,
        });
        rest = after;
    }
    Some(sections)
}

/// Reads a number as WebAssembly writes it (LEB128, up to 32 bits).
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(number).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shortened_to_what_says_something_elsewhere() {
        let folder = Some("/home/ada/skills/nightly");
        for (path, short) in [
            ("/home/ada/skills/nightly/src/lib.rs", "src/lib.rs"),
            (
                "/home/ada/.cargo/registry/src/index-1949/serde_json-1.0/src/de.rs",
                "serde_json-1.0/src/de.rs",
            ),
            ("/rustc/59807616/library/core/src/option.rs", "core/src/option.rs"),
            ("/elsewhere/lib.rs", "/elsewhere/lib.rs"),
            ("src/lib.rs", "src/lib.rs"),
        ] {
            assert_eq!(shortened(path, folder), short);
        }
    }

    #[test]
    fn what_has_no_tables_or_is_damaged_tells_no_lines() {
        let component = b"\0asm\x0d\0\x01\0\x01\x0c\0asm\x01\0\0\0\x0a\x02\x01\xff";
        for end in 0..=component.len() {
            let reread = Reread::by(move || Some(component[..end].to_vec()));
            assert_eq!(reread.places(&[Some(20), None]), [vec![], vec![]]);
        }
        assert_eq!(number(&[0x80, 0x80, 0x80, 0x80, 0x80, 1]), None);
        assert_eq!(number(&[0xe5, 0x8e, 0x26, 7]), Some((624_485, &[7][..])));
    }
}
