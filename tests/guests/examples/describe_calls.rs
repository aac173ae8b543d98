//! Makes a call where it may make none.

use skillhost_sdk::__private::{Description, Failure, Guest};
use skillhost_sdk::bindings::skillhost::skill::{clock, types};

struct Skill;

impl Guest for Skill {
    fn describe() -> Description {
        let options = types::CallOptions {
            label: None,
            timeout_ns: None,
            attempts: None,
            reuse: types::Reuse::Auto,
            idempotent: false,
            cleanup: false,
            extra: None,
        };
        let slept = clock::sleep(1, &options);
        Description {
            name: "describe-calls".to_owned(),
            version: "0.1.0".to_owned(),
            summary: format!("slept: {slept:?}"),
            input_schema: "{}".to_owned(),
            output_schema: "{}".to_owned(),
            requests: Vec::new(),
            needs: Vec::new(),
            extra: None,
        }
    }

    fn run(_input: String) -> Result<String, Failure> {
        Ok("null".to_owned())
    }
}

skillhost_sdk::bindings::__export_skill!(Skill with_types_in skillhost_sdk::bindings);
