//! Words that stand in nearly every row, and what stands there in their place since format 6.
//!
//! The table `words` of the database says the same to whoever looks at it by hand, and the view `journal` shows the words.

/// What is written, and the word that it stands for, the most frequent first. One that was written is never given to another word.
const WORDS: [(&str, &str); 19] = [
    ("c", "called"),
    ("r", "returned"),
    ("m", "model.complete"),
    ("fr", "files.read"),
    ("fp", "files.read-range"),
    ("fl", "files.list"),
    ("fs", "files.stat"),
    ("fw", "files.write"),
    ("fa", "files.append"),
    ("fd", "files.remove"),
    ("p", "process.run"),
    ("h", "http.send"),
    ("i", "inbox.post"),
    ("ct", "clock.tick"),
    ("cs", "clock.sleep"),
    ("sw", "signals.wait"),
    ("sa", "signals.ask"),
    ("sc", "skills.call"),
    ("n", "run.notes"),
];

/// Returns what is written for a word: the word itself, if nothing shorter stands for it.
pub(super) fn short(word: &str) -> &str {
    let found = WORDS.iter().find(|(_, long)| *long == word);
    found.map_or(word, |(short, _)| short)
}

/// Returns the word that something written stands for.
pub(super) fn long(written: &str) -> &str {
    let found = WORDS.iter().find(|(short, _)| *short == written);
    found.map_or(written, |(_, long)| long)
}
