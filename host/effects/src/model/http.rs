//! HTTP as model providers need it: no redirects, which could carry a key elsewhere, and no byte for a while is a failure.

/// Makes a client for plain HTTP: loopback servers, and gateways on the same machine. It trusts no certificate.
pub(crate) fn plain_client() -> reqwest::Client {
    client(reqwest::Client::builder().tls_certs_only([]))
        .expect("a client without certificates needs nothing of the system")
}

fn client(builder: reqwest::ClientBuilder) -> reqwest::Result<reqwest::Client> {
    // The builder panics without a default; losing the race to another caller leaves the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let agent = concat!("skillhost/", env!("CARGO_PKG_VERSION"));
    builder
        .user_agent(agent)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}
