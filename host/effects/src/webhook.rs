//! Tells a server of the user's what happened, by a POST: for chat systems and the like. No run waits for it, and no run knows of it.

use std::fmt;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::model::Secret;
use crate::model::http;

/// How long a server has to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a webhook is. Such an address is a secret: whoever knows it may post there.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Address(Secret);

impl From<String> for Address {
    fn from(text: String) -> Self {
        Self(Secret::new(text.trim()))
    }
}

enum Scheme {
    Http,
    Https,
}

impl Address {
    /// Says what is wrong with the address, if something is.
    pub fn checked(&self) -> Result<(), WebhookError> {
        self.check().map(drop)
    }

    fn check(&self) -> Result<Scheme, WebhookError> {
        let wrong = |reason: String| WebhookError::Address { reason };
        let url = reqwest::Url::parse(self.0.reveal()).map_err(|e| wrong(format!("is not a URL: {e}")))?;
        match url.scheme() {
            "http" => Ok(Scheme::Http),
            "https" => Ok(Scheme::Https),
            _ => Err(wrong("is neither an http nor an https URL".to_owned())),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a webhook was not told.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The address cannot be used.
    #[error("the address of the webhook {reason}")]
    Address {
        /// What is wrong with it.
        reason: String,
    },
    /// The server was not reached.
    #[error("the webhook could not be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It did not answer in time.
    #[error("the webhook did not answer within {} s", PATIENCE.as_secs())]
    Stalled,
    /// It answered with an error.
    #[error("the webhook answered with status {status}")]
    Refused {
        /// Which.
        status: u16,
    },
}

/// A server that is told.
#[derive(Clone, Debug)]
pub struct Webhook {
    client: reqwest::Client,
    address: Address,
}

impl Webhook {
    /// Makes the client, which connects when there is something to tell.
    pub fn new(address: &Address) -> Result<Self, WebhookError> {
        let client = match address.check()? {
            Scheme::Http => http::plain_client(),
            Scheme::Https => http::tls_client().map_err(|e| WebhookError::Address {
                reason: format!("needs TLS, which cannot be set up: {e}"),
            })?,
        };
        Ok(Self {
            client,
            address: address.clone(),
        })
    }

    /// Posts a JSON text.
    pub async fn post(&self, json: String) -> Result<(), WebhookError> {
        let request = self
            .client
            .post(self.address.0.reveal())
            .header(CONTENT_TYPE, "application/json")
            .body(json);
        let response = match tokio::time::timeout(PATIENCE, request.send()).await {
            Err(_) => return Err(WebhookError::Stalled),
            Ok(Err(e)) => return Err(WebhookError::Unreachable(e.without_url())),
            Ok(Ok(response)) => response,
        };
        let status = response.status();
        match status.is_success() {
            true => Ok(()),
            false => Err(WebhookError::Refused {
                status: status.as_u16(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn an_address_is_checked_and_never_shown() {
        for text in ["chat", "ftp://host/x", ""] {
            assert!(matches!(
                Webhook::new(&Address::from(text.to_owned())),
                Err(WebhookError::Address { .. })
            ));
        }
        let webhook = Webhook::new(&Address::from("http://chat.test/secret-token".to_owned())).unwrap();
        assert!(!format!("{webhook:?}").contains("secret-token"), "{webhook:?}");
    }
}
