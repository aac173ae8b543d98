//! Says nonsense of itself.

use skillhost_sdk::__private::{Description, Failure, Guest};

struct Skill;

impl Guest for Skill {
    fn describe() -> Description {
        Description {
            name: "Bad Describe!".to_owned(),
            version: String::new(),
            summary: String::new(),
            input_schema: "{ no JSON".to_owned(),
            output_schema: "7".to_owned(),
            requests: Vec::new(),
            needs: vec!["magic".to_owned()],
            extra: None,
        }
    }

    fn run(_input: String) -> Result<String, Failure> {
        Ok("null".to_owned())
    }
}

skillhost_sdk::bindings::__export_skill!(Skill with_types_in skillhost_sdk::bindings);
