//! Secrets in headers: told to whom they were granted for, and to nobody else.

use super::*;
use crate::tests::stored;

const VALUE: &str = "s3cret-value-7f3a";

/// Sends a request to servers of this machine, which may be told `one` if they are at these ports.
async fn send_knowing(ports: &[u16], request: &Request) -> Result<Response, Fault> {
    let folder = tempfile::tempdir().unwrap();
    let file = stored(folder.path(), &[("one", VALUE), ("other", "another-value")]);
    let told: Vec<String> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
    let mut asked: Vec<Asked<'_>> = told
        .iter()
        .map(|host| ("http", host.as_str(), "read-write private secret:one secret:missing"))
        .collect();
    asked.push(("http", "http://127.0.0.1:*", "read-write private"));
    let granted = granted(&asked).with_secrets(file);
    let class = Class::AtMostOnce;
    let options = CallOptions::default();
    let ticket = ticket_of(Function::HTTP_SEND, class, Payload::of(request), options, no_provider());
    perform(Sites::new(web(), granted), &ticket).await.0
}

fn naming(method: &str, url: &str, headers: &[(&str, &str)]) -> Request {
    let headers = headers
        .iter()
        .map(|(name, value)| Header::from(((*name).to_owned(), (*value).to_owned())));
    Request {
        headers: headers.collect(),
        ..request(method, url)
    }
}

#[tokio::test]
async fn a_secret_is_filled_in_for_the_host_that_may_be_told_it_and_what_comes_back_is_redacted() {
    let server = Server::start(|request| {
        let said = request
            .lines()
            .find(|line| line.starts_with("authorization"))
            .unwrap_or_default();
        answer(&format!("200 OK\r\nx-echo: {said}"), said)
    })
    .await;
    let asked = Request {
        body: Bytes(b"{{secret:one}}".to_vec()),
        ..naming(
            "POST",
            &server.url("/a"),
            &[("Authorization", "Bearer {{secret:one}}"), ("x-two", "2")],
        )
    };
    let response = send_knowing(&[server.port], &asked).await.unwrap();
    let sent = server.seen().remove(0);
    assert!(
        sent.contains(&format!("authorization: Bearer {VALUE}\n")) && sent.contains("x-two: 2"),
        "{sent}"
    );
    assert!(
        sent.ends_with("{{secret:one}}"),
        "nothing is filled in elsewhere: {sent}"
    );
    assert_eq!(text(&response), "authorization: Bearer {{secret:one}}");
    assert!(!format!("{response:?}").contains(VALUE), "{response:?}");
}

#[tokio::test]
async fn what_a_host_was_told_before_is_redacted_also_where_the_request_does_not_name_it() {
    let server = Server::start(|_| answer("200 OK", VALUE)).await;
    let response = send_knowing(&[server.port], &naming("GET", &server.url("/"), &[]))
        .await
        .unwrap();
    assert_eq!(text(&response), "{{secret:one}}");
}

#[tokio::test]
async fn a_secret_that_may_not_be_told_or_is_not_stored_is_denied_and_nothing_is_sent() {
    let server = Server::start(|_| answer("200 OK", "")).await;
    let (here, elsewhere) = (server.port, 1);
    for (port, name, says) in [
        (
            here,
            "other",
            "the secret `other` was not granted for http://127.0.0.1:",
        ),
        (
            elsewhere,
            "one",
            "the secret `one` was not granted for http://127.0.0.1:",
        ),
        (here, "missing", "`skillhost secret set missing`"),
    ] {
        let header = format!("{{{{secret:{name}}}}}");
        let asked = naming("GET", &server.url("/"), &[("x-token", &header)]);
        let fault = send_knowing(&[port], &asked).await.unwrap_err();
        assert_eq!(fault.code, Fault::DENIED);
        assert!(fault.message.contains(says), "{}", fault.message);
    }
    let asked = naming("GET", &server.url("/"), &[("x-token", "{{secret:a b}}")]);
    assert_eq!(send_knowing(&[here], &asked).await.unwrap_err().code, Fault::INVALID);
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn a_redirect_takes_a_secret_along_to_the_same_place_and_never_to_another_one() {
    let other = Server::start(|_| answer("200 OK", "there")).await;
    let away = other.url(&format!("/there?said={VALUE}"));
    let first = Server::start(move |request| match request.starts_with("GET /here ") {
        true => redirect(302, "/again"),
        false => redirect(307, &away),
    })
    .await;
    // Also one that would say what is wanted, if it did not name a secret; and also if the other place may be told it itself.
    let headers = [
        ("Accept", "{{secret:one}}"),
        ("x-token", "{{secret:one}}"),
        ("User-Agent", "me"),
    ];
    for told in [&[first.port][..], &[first.port, other.port]] {
        let response = send_knowing(told, &naming("GET", &first.url("/here"), &headers))
            .await
            .unwrap();
        assert_eq!(text(&response), "there");
        assert_eq!(
            response.url,
            other.url("/there?said={{secret:one}}"),
            "a server may put it there, too"
        );
        let [here, again] = <[String; 2]>::try_from(first.seen()).unwrap();
        first.seen.lock().unwrap().clear();
        assert!(here.contains(VALUE) && again.contains(VALUE), "{here} {again}");
        let there = other.seen().pop().unwrap();
        let headers = there.split_once('\n').unwrap().1;
        assert!(
            !headers.contains(VALUE) && !headers.contains("secret:") && headers.contains("user-agent: me"),
            "{there}"
        );
    }
}

#[tokio::test]
async fn an_error_that_repeats_a_secret_is_redacted_too() {
    let server = Server::start(|_| redirect(302, &format!("ftp{VALUE}://x"))).await;
    let asked = naming("GET", &server.url("/"), &[("x-token", "{{secret:one}}")]);
    let fault = send_knowing(&[server.port], &asked).await.unwrap_err();
    assert!(
        fault.message.contains("{{secret:one}}") && !fault.message.contains(VALUE),
        "{}",
        fault.message
    );
}
