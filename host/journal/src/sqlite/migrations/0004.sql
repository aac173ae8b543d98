-- Runs that were removed, and whose files may still be there: whoever removes them says when they are gone, and after a crash the next one goes on.
create table removed (
    run text primary key
) strict, without rowid;
