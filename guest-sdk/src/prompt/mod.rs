//! Prompts: text that a skill gives to a model, mostly kept in `prompts/*.md` of the skill's folder.
//!
//! [`prompt!`](crate::prompt) checks a prompt's file and variables when the skill is compiled. The file is read when the skill runs, as it was
//! when the run was launched, so that an edited prompt needs no rebuild; what no longer fits then fails where the prompt is used.

pub(crate) mod template;

use crate::call::Options;
use crate::failure::{Failure, Result, code};
use crate::host;
use template::{Template, listed};

/// A text, or the name of a file of `prompts/` with the values of its variables.
#[derive(Clone, Debug)]
pub struct Prompt(Form);

#[derive(Clone, Debug)]
enum Form {
    Text(String),
    File {
        name: &'static str,
        values: Vec<(&'static str, String)>,
    },
}

impl Prompt {
    /// Names a file of `prompts/`, without its `.md`. [`prompt!`](crate::prompt) does this and checks it.
    #[doc(hidden)]
    pub fn file<const N: usize>(name: &'static str, values: [(&'static str, String); N]) -> Self {
        Self(Form::File {
            name,
            values: values.into(),
        })
    }

    /// Does the same as [`render`](Self::render) with a prompt that is not needed again.
    pub(crate) fn into_text(self) -> Result<String> {
        match self.0 {
            Form::Text(text) => Ok(text),
            Form::File { .. } => self.render(),
        }
    }

    /// Reads the prompt and puts the values in.
    pub fn render(&self) -> Result<String> {
        let (name, values) = match &self.0 {
            Form::Text(text) => return Ok(text.clone()),
            Form::File { name, values } => (*name, values),
        };
        let text = read(name)?;
        // The end of the file's last line is not part of the prompt.
        let template = Template::parse(text.trim_end()).map_err(|error| {
            let line = error.line;
            fault(format!(
                "prompt `{name}` has a `$` in line {line} that no name follows; write `$$` for a dollar"
            ))
        })?;
        template.substitute(values).map_err(|variable| {
            let known = listed(values.iter().map(|(name, _)| *name));
            fault(format!(
                "prompt `{name}` has a variable `{variable}` which the skill does not give; it gives {known}"
            ))
        })
    }
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self(Form::Text(text.to_owned()))
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self(Form::Text(text))
    }
}

impl From<&String> for Prompt {
    fn from(text: &String) -> Self {
        Self(Form::Text(text.clone()))
    }
}

/// Reads a prompt of the skill's own folder. That is no call: the bundle is the same at every replay.
fn read(name: &str) -> Result<String> {
    let path = format!("skill/prompts/{name}.md");
    let options = Options::default().render();
    let bytes = match host::files::read(&path, &options) {
        Ok(bytes) => bytes,
        Err(host::files::Error::NotFound(_)) => {
            return Err(fault(format!(
                "the skill's folder has no `prompts/{name}.md`; its prompts: {}",
                listed(names().iter().map(String::as_str))
            )));
        }
        Err(error) => {
            use crate::failure::IntoFailure as _;
            return Err(error.into_failure().context(format!("prompt `{name}`")));
        }
    };
    String::from_utf8(bytes).map_err(|_| fault(format!("prompt `{name}` is not UTF-8 text")))
}

/// Lists what there is instead of a missing prompt. An empty list where even that fails: the message is about something else.
fn names() -> Vec<String> {
    let everything = host::files::ListOptions {
        glob: Some("**/*.md".to_owned()),
        recursive: true,
        limit: None,
        after: None,
    };
    let options = Options::default().render();
    let Ok(listing) = host::files::list("skill/prompts", &everything, &options) else {
        return Vec::new();
    };
    let name = |path: &str| Some(path.strip_prefix("skill/prompts/")?.strip_suffix(".md")?.to_owned());
    listing.entries.iter().filter_map(|entry| name(&entry.path)).collect()
}

fn fault(message: String) -> Failure {
    Failure::new(code::PROMPT, message)
}
