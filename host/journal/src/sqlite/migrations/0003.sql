-- Says of an entry that it is what was written, whatever the disk did since: see `seal.rs`. Entries of before have none.
alter table entries add column seal integer;
