//! Bundles and other contents by digest, and what nobody needs any more.

use rusqlite::{Connection, OptionalExtension as _, params};
use skillhost_core::id::Digest;
use skillhost_core::time::Timestamp;

use super::apply::{count, put_blob, time};
use super::pack::{Content, content_of, expand};
use super::runs::{parse, stamp};
use super::{NotDone, Shared};
use crate::bundle::{Bundle, BundleError, BundleFile, read};
use crate::error::JournalError;
use crate::journal::Contents;
use crate::rows::Collected;

/// How many rows one transaction of a collection looks at, so that it does not keep runs waiting (rule J6).
const COLLECT_ROWS: i64 = 2_000;

pub(super) fn is_there(db: &Connection, digest: &Digest) -> Result<bool, NotDone> {
    Ok(db
        .prepare_cached("select 1 from bundles where digest = ?")?
        .exists([digest.to_string()])?)
}

/// Says that a bundle which was put long ago is wanted again, if it is still there.
pub(super) fn refresh(db: &Connection, digest: &Digest, at: Timestamp) -> Result<bool, NotDone> {
    let sql = "update bundles set at = max(at, ?2) where digest = ?1";
    Ok(db.prepare_cached(sql)?.execute(params![digest.to_string(), time(at)])? > 0)
}

/// Returns when a bundle was put or wanted last, if it is there.
pub(super) fn put_at(db: &Connection, digest: &Digest) -> Result<Option<Timestamp>, NotDone> {
    let sql = "select at from bundles where digest = ?";
    let at = db
        .prepare_cached(sql)?
        .query_row([digest.to_string()], |row| row.get(0));
    Ok(at.optional()?.map(stamp))
}

/// Returns the files whose contents are not there, each content once.
fn absent(db: &Connection, bundle: &Bundle) -> Result<Vec<BundleFile>, NotDone> {
    let mut find = db.prepare_cached("select 1 from blobs where digest = ?")?;
    let mut absent: Vec<BundleFile> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for file in bundle.files() {
        if seen.insert(file.digest) && !find.exists([file.digest.as_bytes()])? {
            absent.push(file.clone());
        }
    }
    Ok(absent)
}

/// Reads and compresses contents, outside any transaction.
fn pack(files: &[BundleFile], contents: &Contents<'_>) -> Result<Vec<Content>, BundleError> {
    files
        .iter()
        .map(|file| Ok(content_of(&read(file, contents)?)))
        .collect()
}

/// Puts a bundle, unless one of its contents was collected since it was found to be there: then `false`.
fn put(db: &Connection, bundle: &Bundle, at: Timestamp, contents: &[Content]) -> Result<bool, NotDone> {
    for content in contents {
        put_blob(db, content)?;
    }
    if !absent(db, bundle)?.is_empty() {
        return Ok(false);
    }
    let digest = bundle.digest().to_string();
    let sql = "insert or ignore into bundles (digest, at) values (?, ?)";
    let inserted = db.prepare_cached(sql)?.execute(params![digest, time(at)])?;
    if inserted == 0 {
        // Somebody else put it meanwhile.
        return Ok(true);
    }
    let sql = "insert into bundle_files (bundle, path, digest, size, blob) values (?, ?, ?, ?, (select key from blobs where digest = ?))";
    let mut insert = db.prepare_cached(sql)?;
    for file in bundle.files() {
        let name = file.digest.to_string();
        insert.execute(params![
            digest,
            file.path,
            name,
            count(file.size),
            file.digest.as_bytes()
        ])?;
    }
    Ok(true)
}

pub(super) fn get(db: &Connection, digest: &Digest) -> Result<Option<Bundle>, NotDone> {
    if !is_there(db, digest)? {
        return Ok(None);
    }
    let what = || format!("bundle {}", digest.short());
    let mut find = db.prepare_cached("select path, digest, size from bundle_files where bundle = ? order by path")?;
    let mut rows = find.query([digest.to_string()])?;
    let mut files = Vec::new();
    while let Some(row) = rows.next()? {
        files.push(BundleFile {
            path: row.get(0)?,
            digest: parse(&what(), Digest::parse(&row.get::<_, String>(1)?))?,
            size: row.get::<_, i64>(2)?.unsigned_abs(),
        });
    }
    let why = match Bundle::new(files) {
        Ok(bundle) if bundle.digest() == *digest => return Ok(Some(bundle)),
        Ok(_) => "its files are not those of its digest".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(NotDone::Journal(JournalError::DamagedRow { what: what(), why }))
}

pub(super) fn blob(db: &Connection, digest: &Digest) -> Result<Option<Vec<u8>>, NotDone> {
    let mut find = db.prepare_cached("select form, bytes, content from blobs where digest = ?")?;
    let found = find.query_row([digest.as_bytes()], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, Vec<u8>>(2)?,
        ))
    });
    let Some((form, bytes, content)) = found.optional()? else {
        return Ok(None);
    };
    let why = match expand(&form, bytes, &content) {
        Ok(expanded) if Digest::of(&expanded) == *digest => return Ok(Some(expanded)),
        Ok(_) => "it is not the one of its digest".to_owned(),
        Err(why) => why,
    };
    let what = format!("content {}", digest.short());
    Err(NotDone::Journal(JournalError::DamagedRow { what, why }))
}

pub(super) fn put_description(db: &Connection, component: &Digest, at: Timestamp, text: &str) -> Result<(), NotDone> {
    let sql = "insert or replace into descriptions (component, at, description) values (?, ?, ?)";
    db.prepare_cached(sql)?
        .execute(params![component.to_string(), time(at), text])?;
    Ok(())
}

pub(super) fn description(db: &Connection, component: &Digest) -> Result<Option<String>, NotDone> {
    let sql = "select description from descriptions where component = ?";
    Ok(db
        .prepare_cached(sql)?
        .query_row([component.to_string()], |row| row.get(0))
        .optional()?)
}

impl Shared {
    /// Puts a bundle and makes another change in the same transaction.
    pub(super) fn put_bundle(
        &self,
        bundle: &Bundle,
        at: Timestamp,
        contents: &Contents<'_>,
        also: impl Fn(&Connection) -> Result<(), NotDone> + Clone + Send + 'static,
    ) -> Result<Digest, BundleError> {
        loop {
            let absent = self.read(|db| absent(db, bundle))?;
            let contents = pack(&absent, contents)?;
            let (bundle, also) = (bundle.clone(), also.clone());
            let digest = bundle.digest();
            let is_put = self.write(move |db| match put(db, &bundle, at, &contents)? {
                true => also(db).map(|()| true),
                false => Ok(false),
            });
            if is_put? {
                return Ok(digest);
            }
            // A collection came between; there are few, so one of the next rounds succeeds.
        }
    }

    /// Collects in the order in which things hold each other, some rows at a time.
    pub(super) fn collect(&self, before: Timestamp) -> Result<Collected, JournalError> {
        let mut collected = self.write(move |db| collect_bundles(db, before))?;
        self.collect_contents("blobs", UNNEEDED_BLOBS, |rows, bytes| {
            collected.blobs += rows;
            collected.bytes += bytes;
        })?;
        // Newest first: a message holds the one before it.
        self.collect_contents("messages", UNNEEDED_MESSAGES, |rows, bytes| {
            collected.messages += rows;
            collected.bytes += bytes;
        })?;
        Ok(collected)
    }

    fn collect_contents(
        &self,
        table: &'static str,
        unneeded: &'static str,
        mut count: impl FnMut(u64, u64),
    ) -> Result<(), JournalError> {
        let mut below = i64::MAX;
        while let Some(slice) = self.write(move |db| collect_slice(db, table, unneeded, below))? {
            count(slice.rows, slice.bytes);
            below = slice.lowest;
        }
        Ok(())
    }
}

struct Slice {
    lowest: i64,
    rows: u64,
    bytes: u64,
}

const UNNEEDED_BLOBS: &str = "not exists (select 1 from entries where entries.blob = ?1) and not exists (select 1 from bundle_files where bundle_files.blob = ?1)";

const UNNEEDED_MESSAGES: &str = "not exists (select 1 from entries where entries.message = ?1) and not exists (select 1 from messages where previous = ?1)";

fn collect_slice(db: &Connection, table: &str, unneeded: &str, below: i64) -> Result<Option<Slice>, NotDone> {
    let sql = format!("select key, length(content) from {table} where key < ? order by key desc limit ?");
    let mut find = db.prepare_cached(&sql)?;
    let keys = find.query_map([below, COLLECT_ROWS], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    })?;
    let keys: Vec<(i64, i64)> = keys.collect::<Result<_, _>>()?;
    let Some((lowest, _)) = keys.last().copied() else {
        return Ok(None);
    };
    let mut delete = db.prepare_cached(&format!("delete from {table} where key = ?1 and {unneeded}"))?;
    let mut slice = Slice {
        lowest,
        rows: 0,
        bytes: 0,
    };
    for (key, bytes) in keys {
        if delete.execute([key])? > 0 {
            slice.rows += 1;
            slice.bytes += bytes.unsigned_abs();
        }
    }
    Ok(Some(slice))
}

fn collect_bundles(db: &Connection, before: Timestamp) -> Result<Collected, NotDone> {
    let unneeded = "at < ?1 and not exists (select 1 from runs where runs.bundle = bundles.digest)
        and not exists (select 1 from installed where installed.bundle = bundles.digest)";
    let sql = format!("delete from bundle_files where bundle in (select digest from bundles where {unneeded})");
    db.prepare_cached(&sql)?.execute([time(before)])?;
    let bundles = db
        .prepare_cached(&format!("delete from bundles where {unneeded}"))?
        .execute([time(before)])?;
    let sql = "delete from descriptions where at < ? and not exists (select 1 from bundle_files where bundle_files.digest = component)";
    let descriptions = db.prepare_cached(sql)?.execute([time(before)])?;
    Ok(Collected {
        bundles: bundles as u64,
        descriptions: descriptions as u64,
        ..Collected::default()
    })
}
