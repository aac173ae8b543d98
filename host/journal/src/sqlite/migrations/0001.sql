-- Times are microseconds since 1970 (UTC). Digests are SHA-256: 64 hexadecimal digits where there are few rows, 32 bytes where there are many.
-- The view `journal` is for people: sqlite3 journal.db 'select * from journal where run = ...'.

create table runs (
    key           integer primary key,
    id            text not null unique,
    launch        text not null,
    skill         text not null,
    status        text not null,
    bundle        text not null,
    component     text not null,
    created_at    integer not null,
    holder        text,                         -- the worker that took the lease last, unless it gave it back
    epoch         integer not null,
    held_from     integer not null,             -- how many entries there were when the lease was last taken
    simulated     integer not null,
    caller_folder any,                          -- text; a blob if it is not UTF-8
    silent        integer not null,             -- whether nobody is told of it, but by the inbox
    parent        text,
    trouble       text                          -- as JSON: why attempts fail for a reason outside the skill, until the run goes on
) strict;
create index runs_by_status on runs (status, id);   -- for Journal::runs
create index runs_by_bundle on runs (bundle);   -- for Journal::collect
create index runs_by_launch on runs (launch);   -- for Journal::remove_run

create table launches (
    id  text primary key,
    run integer not null references runs        -- its newest
) strict, without rowid;

-- Rows are only ever added, at the end: a table in the order of (run, seq) would have a page of its own to rewrite for every run in every commit.
create table entries (
    id         integer primary key,
    run        integer not null references runs,
    seq        integer not null,
    at         integer not null,
    kind       text not null,
    number     integer,
    function   text,
    class      text,
    label      text,
    resource   text,                            -- what the call touches: a path, a model, a signal
    after      integer,
    body       text not null,                   -- the entry as JSON, with "@payload" in the place of its payload
    payload    text,                            -- the payload, if it is short
    blob       integer references blobs,        -- the payload, if it is long
    message    integer references messages,     -- the last of the messages that belong into the payload
    message_at integer                          -- where in the payload, in bytes
) strict;
create unique index entries_by_run on entries (run, seq);
create index entries_by_blob on entries (blob) where blob is not null;             -- for Journal::collect
create index entries_by_message on entries (message) where message is not null;    -- for Journal::collect

create table blobs (
    key     integer primary key,
    digest  blob not null unique,
    bytes   integer not null,
    form    text not null check (form in ('plain', 'zstd')),
    content blob not null
) strict;

-- The messages of conversations, each once: a message's digest is that of the previous one's digest and its own text.
create table messages (
    key      integer primary key,
    digest   blob not null unique,
    previous integer references messages,
    bytes    integer not null,
    form     text not null check (form in ('plain', 'zstd')),
    content  blob not null
) strict;
create index messages_by_previous on messages (previous) where previous is not null;   -- for Journal::collect

create table lines (
    id      integer primary key,
    run     integer not null references runs,
    after   integer not null,
    ordinal integer not null,
    at      integer not null,
    line    text not null
) strict;
create unique index lines_by_run on lines (run, after, ordinal);

create table waits (
    run      integer not null references runs,
    number   integer not null,
    kind     text not null,
    name     text,
    deadline integer,
    primary key (run, number)
) strict, without rowid;
create index waits_by_deadline on waits (deadline) where deadline is not null;     -- for Journal::due

create table mail (
    id      integer primary key autoincrement,
    run     integer not null references runs,
    at      integer not null,
    command text not null
) strict;
create index mail_by_run on mail (run);

create table inbox (
    id           integer primary key autoincrement,
    run          integer not null references runs,
    source       text not null,                 -- 'message 3', 'question 3', 'decision 3', 'trouble', 'finished'
    at           integer not null,
    title        text not null,
    body         text not null,
    attachments  text not null,
    dismissed_at integer,
    unique (run, source)
) strict;
create index inbox_unseen on inbox (id) where dismissed_at is null;                -- for Journal::inbox

create table bundles (
    digest text primary key,
    at     integer not null
) strict, without rowid;

create table bundle_files (
    bundle text not null references bundles,
    path   text not null,
    digest text not null,
    size   integer not null,
    blob   integer not null references blobs,
    primary key (bundle, path)
) strict, without rowid;
create index bundle_files_by_blob on bundle_files (blob);                          -- for Journal::collect
create index bundle_files_by_digest on bundle_files (digest);                      -- for Journal::collect

-- The last bundle of each skill that could be used, as it was found in a folder of skills.
create table installed (
    library   any not null,                     -- text; a blob if it is not UTF-8
    skill     text not null,
    bundle    text not null references bundles,
    component text not null,
    at        integer not null,
    problem   text,                             -- as JSON: why what lies there now cannot be used
    primary key (library, skill)
) strict, without rowid;
create index installed_by_bundle on installed (bundle);                            -- for Journal::collect

create table descriptions (
    component   text primary key,
    at          integer not null,
    description text not null
) strict, without rowid;

create view journal as
select runs.id as run, seq, strftime('%Y-%m-%d %H:%M:%f', at / 1e6, 'unixepoch') as time, kind, number, function, label, class, resource, after,
    coalesce(payload, '(' || bytes || ' bytes as ' || form || ', ' || lower(hex(substr(digest, 1, 6))) || ')')
        || iif(message is null, '', ' (messages up to ' || message || ' at ' || message_at || ')') as payload,
    body
from entries join runs on runs.key = entries.run left join blobs on blobs.key = entries.blob
order by entries.run, seq;
