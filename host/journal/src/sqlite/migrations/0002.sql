-- What skills spent in a day, all their runs together, as far as a budget for it was set. Runs that are removed leave their spending here.
create table days (
    skill                 text not null,
    day                   integer not null,         -- how many after 1 January 1970, where the user is
    calls                 integer not null,         -- settled and reserved
    tokens                integer not null,
    microdollars          integer not null,
    reserved_calls        integer not null,         -- the part of it that is reserved
    reserved_tokens       integer not null,
    reserved_microdollars integer not null,
    told                  integer not null,         -- the highest mark, in percent, that somebody was told of
    primary key (skill, day)
) strict, without rowid;
