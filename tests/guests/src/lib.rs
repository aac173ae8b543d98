//! Fixture skills, one behaviour a file in `examples/`.
