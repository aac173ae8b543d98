-- The words that stand in nearly every row are written short, those of kinds and functions, and a body that holds nothing but amounts is these alone: `[calls, tokens, millionths of a dollar]`.
-- Rows of before are read as they are. Their seals are made of the words, so it is the same seal.
create table words (
    short text primary key,
    word  text not null,
    class text                                  -- of a function, unless a row says otherwise
) strict, without rowid;
insert into words (short, word, class) values
    ('c', 'called', null),
    ('r', 'returned', null),
    ('m', 'model.complete', 'retryable'),
    ('fr', 'files.read', 'observe'),
    ('fp', 'files.read-range', 'observe'),
    ('fl', 'files.list', 'observe'),
    ('fs', 'files.stat', 'observe'),
    ('fw', 'files.write', 'retryable'),
    ('fa', 'files.append', 'retryable'),
    ('fd', 'files.remove', 'retryable'),
    ('p', 'process.run', 'at-most-once'),
    ('h', 'http.send', 'at-most-once'),
    ('i', 'inbox.post', 'local'),
    ('ct', 'clock.tick', 'local'),
    ('cs', 'clock.sleep', 'local'),
    ('sw', 'signals.wait', 'local'),
    ('sa', 'signals.ask', 'local'),
    ('sc', 'skills.call', 'local'),
    ('n', 'run.notes', 'local'),
    ('test.act', 'test.act', 'at-most-once');
drop view journal;
create view journal as
select runs.id as run, seq, strftime('%Y-%m-%d %H:%M:%f', at / 1e6, 'unixepoch') as time, coalesce(kinds.word, kind) as kind, number, coalesce(functions.word, function) as function, label,
    coalesce(entries.class, functions.class) as class, resource, after,
    coalesce(payload, '(' || bytes || ' bytes as ' || form || ', ' || lower(hex(substr(digest, 1, 6))) || ')')
        || iif(message is null, '', ' (messages up to ' || message || ' at ' || message_at || ')') as payload,
    body
from entries join runs on runs.key = entries.run left join blobs on blobs.key = entries.blob
    left join words as kinds on kinds.short = kind left join words as functions on functions.short = function or functions.word = function
order by entries.run, seq;
