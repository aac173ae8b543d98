//! What a component is, found out without running it: whether it loads, what it imports, what it says of itself.

use std::time::Duration;

use serde_json::{Value, json};
use skillhost_core::id::Digest;
use skillhost_journal::Journal;
use skillhost_runtime::{Description, Loader};

use crate::driver;
use crate::error::{CliError, Result};
use crate::grants;
use crate::problem::Problem;
use crate::schema::Schema;
use crate::terminal::plain_line;

/// A component that loads, and describes itself.
#[derive(Debug)]
pub struct Examined {
    /// Its digest.
    pub digest: Digest,
    /// How large it is.
    pub bytes: u64,
    /// The engine that it is run by here.
    pub engine: String,
    /// The interfaces that it imports, in its order.
    pub imports: Vec<String>,
    /// What it says of itself.
    pub description: Description,
    /// What it takes.
    pub input: Schema,
    /// What it returns.
    pub output: Schema,
}

/// Loads a component and asks what it is. What does not fit is a [`Problem`] at `place`, not an error of the command.
///
/// What it says of itself is kept in the journal, so that its first launch need not ask.
pub async fn examine(
    loader: &Loader,
    journal: &dyn Journal,
    place: &str,
    bytes: Vec<u8>,
) -> Result<Result<Examined, Box<Problem>>> {
    let size = bytes.len() as u64;
    let loaded = match loader.load_bytes(bytes).await {
        Ok(loaded) => loaded,
        Err(error) => return Ok(Err(Box::new(Problem::of_load(&error, place)))),
    };
    let description = match loaded.describe().await {
        Ok(description) => description.clone(),
        Err(error) => return Ok(Err(Box::new(Problem::of_describe(&error, place)))),
    };
    let schema = |which: &str, value: &Value| {
        Schema::of(value.clone()).map_err(|reason| {
            let message = format!("its {which} schema cannot be used: {reason}");
            Box::new(
                Problem::error("bad_description", message)
                    .at(place)
                    .expected("a JSON Schema"),
            )
        })
    };
    let schemas = schema("input", &description.input_schema)
        .and_then(|input| Ok((input, schema("output", &description.output_schema)?)));
    let (input, output) = match schemas {
        Ok(schemas) => schemas,
        Err(problem) => return Ok(Err(problem)),
    };
    let unusable = [grants::asked(&description).1, grants::mounts_asked(&description).1].concat();
    if let Some(why) = unusable.first() {
        let message = format!("it asks for something that cannot be granted: {why}");
        let problem = Problem::error("bad_description", message).at(place);
        return Ok(Err(Box::new(problem)));
    }
    let text = serde_json::to_string(&description).expect("a description serialises");
    journal
        .put_description(&loaded.digest(), driver::now(), &text)
        .map_err(CliError::from)?;
    Ok(Ok(Examined {
        digest: loaded.digest(),
        bytes: size,
        engine: loaded.profile().to_owned(),
        imports: loaded.imports(),
        description,
        input,
        output,
    }))
}

impl Examined {
    /// Returns the lines that tell people of it.
    pub fn lines(&self) -> String {
        let mut lines = format!(
            "skill     {} {}: {}\ndigest    {}\nsize      {}\n",
            self.description.name,
            plain_line(&self.description.version),
            plain_line(&self.description.summary),
            self.digest,
            size(self.bytes),
        );
        lines.push_str(&format!("imports   {}\n", self.imports.join("\n          ")));
        for request in grants::asked(&self.description).0 {
            lines.push_str(&format!("asks to   {}: {}\n", request.words, request.reason));
        }
        for request in grants::mounts_asked(&self.description).0 {
            lines.push_str(&format!("asks to   {}: {}\n", request.words(), request.reason));
        }
        lines
    }

    /// Returns what programs are told of it.
    pub fn value(&self) -> Value {
        json!({
            "name": self.description.name,
            "version": plain_line(&self.description.version),
            "summary": plain_line(&self.description.summary),
            "digest": self.digest,
            "bytes": self.bytes,
            "imports": self.imports,
        })
    }
}

/// Returns a size as people say it.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KB", bytes.div_ceil(1_024)),
        _ => format!("{:.1} MB", bytes as f64 / 1_048_576.0),
    }
}

/// Returns a time that something took, as people say it.
pub fn took(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
