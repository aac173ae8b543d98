-- A row says nothing twice. Of a call (`called`) and its outcome (`returned`), `body` holds only what no column does, and amounts as [calls, tokens, millionths of a dollar]; the class is absent where
-- it is the function's own. Rows of before are read as they are: their body is the whole entry, as that of all other kinds still is. The seal of new rows is made otherwise: see `seal.rs`.
drop view journal;
create view journal as
select runs.id as run, seq, strftime('%Y-%m-%d %H:%M:%f', at / 1e6, 'unixepoch') as time, kind, number, function, label,
    coalesce(class, case
        when function in ('files.read', 'files.read-range', 'files.list', 'files.stat') then 'observe'
        when function in ('model.complete', 'files.write', 'files.append', 'files.remove') then 'retryable'
        when function in ('process.run', 'http.send', 'test.act') then 'at-most-once'
        when function in ('inbox.post', 'clock.tick', 'clock.sleep', 'signals.wait', 'signals.ask', 'skills.call', 'run.notes') then 'local'
    end) as class,
    resource, after,
    coalesce(payload, '(' || bytes || ' bytes as ' || form || ', ' || lower(hex(substr(digest, 1, 6))) || ')')
        || iif(message is null, '', ' (messages up to ' || message || ' at ' || message_at || ')') as payload,
    body
from entries join runs on runs.key = entries.run left join blobs on blobs.key = entries.blob
order by entries.run, seq;
