//! Renames the datasets of a folder that moved.

use super::session::{Session, rows, run};
use super::write::key;
use crate::error::Error;
use crate::model::{Relocate, Relocated};
use crate::relocate::{LISTED_MAX, Moved, Relocations, check_clashes};
use pudato_protocol::{Dataset, Timestamp};
use std::collections::{BTreeMap, HashMap};

/// Reads all relocations.
pub(super) async fn relocations(session: &Session<'_>) -> Result<Relocations, Error> {
    let sql = "SELECT upto, old, new FROM relocation ORDER BY id";
    let moved = rows(session, sql, &[]).await?;
    let moved = moved.iter().map(|row| Moved {
        upto: row.get(0),
        from: row.get(1),
        to: row.get(2),
    });
    Ok(Relocations(moved.collect()))
}

/// The number of the last relocation, which grows with each one.
pub(super) const LAST: &str = "SELECT COALESCE(MAX(id), 0) FROM relocation";

/// Runs in a transaction that excludes all others which name datasets.
pub(super) async fn relocate(
    session: &Session<'_>,
    relocate: &Relocate,
    now: &Timestamp,
) -> Result<Relocated, Error> {
    relocate.check()?;
    session.begin_alone().await?;
    let was_said = relocate.was_said_before(&relocations(session).await?);
    let candidates = candidates(session, relocate).await?;
    let renamed = candidates.into_iter();
    let renamed = renamed.filter_map(|(id, dataset)| {
        let renamed = relocate.renamed(&dataset)?;
        Some((id, dataset, renamed))
    });
    let renamed: Vec<(i64, Dataset, Dataset)> = renamed.collect();
    let keys: Vec<Vec<u8>> = renamed
        .iter()
        .map(|(_, _, to)| key(&to.location()))
        .collect();
    let others = rows(
        session,
        "SELECT key, id FROM dataset WHERE key = ANY($1)",
        &[&keys],
    )
    .await?;
    let mut taken: HashMap<Vec<u8>, i64> =
        others.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut done = Relocated::default();
    let (mut clashes, mut merged, mut free) = (Vec::new(), Vec::new(), Vec::new());
    for ((id, from, to), key) in renamed.into_iter().zip(keys) {
        done.datasets += 1;
        if done.examples.len() < LISTED_MAX {
            done.examples.push((from.location(), to.location()));
        }
        match taken.get(&key) {
            Some(other) if relocate.merge || was_said => merged.push((id, *other)),
            Some(_) => clashes.push((from, to)),
            None => {
                // Another dataset of this relocation may get the same name.
                taken.insert(key.clone(), id);
                free.push((id, to, key));
            }
        }
    }
    check_clashes(&clashes)?;
    done.merged = u64::try_from(merged.len()).unwrap_or(u64::MAX);
    rename(session, &free).await?;
    merge(session, &merged).await?;
    if done.datasets > 0 {
        // Every Result that is written from now on has a greater number.
        let upto: i64 = rows(session, "SELECT nextval('result_seq')", &[]).await?[0].get(0);
        for from in relocate.from.iter().filter(|from| **from != relocate.to) {
            let sql = "INSERT INTO relocation (upto, old, new, at) VALUES ($1, $2, $3, $4)";
            run(session, sql, &[&upto, from, &relocate.to, &now.as_str()]).await?;
        }
    }
    Ok(done)
}

/// Datasets that may be in one of the folders.
async fn candidates(
    session: &Session<'_>,
    relocate: &Relocate,
) -> Result<BTreeMap<i64, Dataset>, Error> {
    let mut found = BTreeMap::new();
    for from in &relocate.from {
        let sql = "SELECT id, namespace, name FROM dataset WHERE (namespace = 'file' AND starts_with(name, $1))
            OR strpos(namespace, $2) > 0";
        let in_namespace = format!("://{}", from.replace('#', "%23"));
        for row in rows(session, sql, &[from, &in_namespace]).await? {
            let dataset = Dataset {
                namespace: row.get(1),
                name: row.get(2),
            };
            found.insert(row.get(0), dataset);
        }
    }
    Ok(found)
}

async fn rename(session: &Session<'_>, free: &[(i64, Dataset, Vec<u8>)]) -> Result<(), Error> {
    let ids: Vec<i64> = free.iter().map(|(id, _, _)| *id).collect();
    let keys: Vec<&[u8]> = free.iter().map(|(_, _, key)| &key[..]).collect();
    let namespaces: Vec<&str> = free.iter().map(|(_, to, _)| &*to.namespace).collect();
    let names: Vec<&str> = free.iter().map(|(_, to, _)| &*to.name).collect();
    let backwards = free
        .iter()
        .map(|(_, to, _)| to.location().chars().rev().collect());
    let backwards: Vec<String> = backwards.collect();
    let sql = "UPDATE dataset SET key = new.key, namespace = new.namespace, name = new.name, backwards = new.backwards
        FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[], $5::text[]) AS new (id, key, namespace, name, backwards)
        WHERE dataset.id = new.id";
    run(
        session,
        sql,
        &[&ids, &keys, &namespaces, &names, &backwards],
    )
    .await?;
    Ok(())
}

/// Moves the lineage of the first dataset of each pair to the second, which has the new name already.
async fn merge(session: &Session<'_>, merged: &[(i64, i64)]) -> Result<(), Error> {
    let (old, new): (Vec<i64>, Vec<i64>) = merged.iter().copied().unzip();
    if old.is_empty() {
        return Ok(());
    }
    for sql in [
        "UPDATE edge SET dataset = merged.new FROM unnest($1::bigint[], $2::bigint[]) AS merged (old, new) WHERE dataset = merged.old",
        "UPDATE pair SET output = merged.new FROM unnest($1::bigint[], $2::bigint[]) AS merged (old, new) WHERE output = merged.old",
        "UPDATE pair SET input = merged.new FROM unnest($1::bigint[], $2::bigint[]) AS merged (old, new) WHERE input = merged.old",
    ] {
        run(session, sql, &[&old, &new]).await?;
    }
    run(session, "DELETE FROM dataset WHERE id = ANY($1)", &[&old]).await?;
    Ok(())
}

/// See [`RegistryStore::data_folders`](crate::RegistryStore).
pub(super) async fn data_folders(session: &Session<'_>) -> Result<Vec<(String, u64)>, Error> {
    let mut folders = Vec::new();
    for (kind, sql) in crate::queries::DATA_FOLDERS.into_iter().enumerate() {
        // PostgreSQL has another name for this function.
        let sql = sql.replace("instr(", "strpos(");
        for row in rows(session, &sql, &[]).await? {
            let count: i64 = row.get(1);
            folders.push((kind, row.get(0), u64::try_from(count).unwrap_or(0)));
        }
    }
    Ok(crate::relocate::summed(folders))
}
