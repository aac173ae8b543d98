//! Leaves something for the user, who sees it whether or not anyone watches the run.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use crate::call::{Call, Options, one_line};
use crate::failure::{IntoFailure as _, Result};
use crate::files;
use crate::host;

/// The longest title that the world takes, in bytes.
const TITLE_BYTES_MAX: usize = 200;

/// Posts a message, exactly once also after a crash. The title becomes one line, and is cut off after 200 bytes.
///
/// ```
/// # use skillhost_sdk::prelude::*;
/// # async fn example() -> Result<()> {
/// let posted = inbox::post("The report is ready").body("It has 12 findings.").attach("report.md").await;
/// // It fails if the body is longer than 64 KiB; the report is there all the same.
/// if let Err(failure) = posted
///     && !failure.is_cancelled()
/// {
///     log::warn!("nobody was told: {failure}");
/// }
/// # Ok(())
/// # }
/// # skillhost_sdk::example::run(example());
/// ```
pub fn post(title: impl AsRef<str>) -> Post {
    Post {
        message: host::inbox::Message {
            title: one_line(title.as_ref(), TITLE_BYTES_MAX),
            body: String::new(),
            attachments: Vec::new(),
            extra: None,
        },
        options: Options::default(),
    }
}

/// A message that is posted when it is awaited.
#[must_use = "a message is posted when it is awaited"]
#[derive(Clone, Debug)]
pub struct Post {
    message: host::inbox::Message,
    options: Options,
}

impl Post {
    /// Gives it a body, as Markdown.
    pub fn body(mut self, markdown: impl Into<String>) -> Self {
        self.message.body = markdown.into();
        self
    }

    /// Points to a file; one without a mount is in `run/`.
    pub fn attach(mut self, path: impl AsRef<str>) -> Self {
        self.message.attachments.push(files::with_mount(path.as_ref()));
        self
    }

    /// Says what the timeline shows.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.options.set_label(label.as_ref());
        self
    }
}

impl IntoFuture for Post {
    type Output = Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<()>>>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { message, options } = self;
        Box::pin(
            Call::new(
                move |options| host::inbox::start_post(&message, options),
                |pending| host::inbox::finish_post(pending).map_err(|error| error.into_failure()),
            )
            .with_options(options),
        )
    }
}
