//! Skills written as text, for what no compiler would emit.

use std::fmt::Write as _;

/// Returns a skill that imports nothing and returns `result`, with `core` in its module.
pub fn skill(core: &str, result: &str) -> Vec<u8> {
    skill_with("", core, result)
}

/// Returns a skill with these imports of its component.
pub fn skill_with(imports: &str, core: &str, result: &str) -> Vec<u8> {
    let mut data = Vec::new();
    // A `description`: name, version, summary, two schemas; no requests, no needs, nothing extra.
    let described = record(&mut data, &["wat", "1", "written as text", "{}", "{}"]);
    let mut layout = described;
    layout.extend([0; 28]);
    // A `result<string, failure>`: that it went well, and a string.
    let mut ok = vec![0, 0, 0, 0];
    ok.extend(record(&mut data, &[result]));
    let text = format!(
        r#"(component
          {imports}
          (core module $m
            (memory (export "memory") 2)
            (data (i32.const 1024) "{}") (data (i32.const 2048) "{}") (data (i32.const 4096) "{}")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
            (func (export "run") (param i32 i32) (result i32) i32.const 2048)
            (func (export "describe") (result i32) i32.const 1024)
            {core})
          (core instance $i (instantiate $m))
          (type $failure-shape (record (field "code" string) (field "message" string) (field "details" (option string))))
          (export $failure "failure" (type $failure-shape))
          (type $request-shape (record (field "capability" string) (field "target" (option string))
            (field "access" (option string)) (field "reason" string)))
          (export $request "capability-request" (type $request-shape))
          (type $description-shape (record (field "name" string) (field "version" string) (field "summary" string)
            (field "input-schema" string) (field "output-schema" string) (field "requests" (list $request))
            (field "needs" (list string)) (field "extra" (option string))))
          (export $description "description" (type $description-shape))
          (func (export "describe") (result $description)
            (canon lift (core func $i "describe") (memory $i "memory")))
          (func (export "run") (param "input" string) (result (result string (error $failure)))
            (canon lift (core func $i "run") (memory $i "memory") (realloc (func $i "realloc")))))"#,
        escaped(&layout),
        escaped(&ok),
        escaped(&data),
    );
    component(&text)
}

/// Returns the component that a text describes.
pub fn component(text: &str) -> Vec<u8> {
    ::wat::parse_str(text).expect("the text is a component")
}

/// Puts strings into the data at 4096, and returns their pointers and lengths.
fn record(data: &mut Vec<u8>, strings: &[&str]) -> Vec<u8> {
    let mut layout = Vec::new();
    for string in strings {
        layout.extend((4096 + data.len() as u32).to_le_bytes());
        layout.extend((string.len() as u32).to_le_bytes());
        data.extend(string.as_bytes());
    }
    layout
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:02x}").expect("a string takes all");
        text
    })
}
