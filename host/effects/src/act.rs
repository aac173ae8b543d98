//! `test.act`: something that must not be done twice, for tests only. It tells a loopback server, which counts.

use std::sync::OnceLock;

use skillhost_core::calls::test::Act;
use skillhost_core::machine::{Ended, Ticket};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;

/// Names the URL that acts are posted to.
const ACTS_URL: &str = "SKILLHOST_TEST_ACTS";

pub(crate) async fn perform(ticket: &Ticket) -> Ended {
    crate::returned(match post(ticket).await {
        Ok(text) => Outcome::Ok(Payload::of(&text)),
        Err(message) => Outcome::fault(Fault::FAILED, message),
    })
}

async fn post(ticket: &Ticket) -> Result<String, String> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    let act: Act = ticket.request().read().map_err(|e| format!("malformed request: {e}"))?;
    let url = std::env::var(ACTS_URL).map_err(|_| format!("`{ACTS_URL}` names no server to act on"))?;
    let response = CLIENT
        .get_or_init(crate::model::http::plain_client)
        .post(url)
        .header("idempotency-key", ticket.key())
        .body(act.name)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(|e| format!("could not act: {e}"))?;
    response.text().await.map_err(|e| format!("could not act: {e}"))
}
