//! Statements that are not allowed, with the reason and what to do instead.

pub(super) const NO_OUTSIDE: &str = "SQL reaches the warehouse and the Command's `sources` only";
pub(super) const NO_EXTENSIONS: &str = "extensions are fixed when the engine starts";
pub(super) const NO_SETTINGS: &str = "settings are fixed when the engine starts";
pub(super) const NO_CHECKPOINT: &str = "the warehouse is written whole whenever its file is closed";
pub(super) const NO_TRANSACTION: &str =
    "a Command is one transaction already: all of it takes effect, or nothing";
pub(super) const NO_PREPARED: &str = "send the statement itself, with `parameters`";

/// Why a statement that begins with this word is not allowed.
pub(super) fn forbidden(word: &str) -> Option<&'static str> {
    Some(match word {
        "ATTACH" | "DETACH" | "EXPORT" | "IMPORT" => NO_OUTSIDE,
        "INSTALL" | "LOAD" | "FORCE" => NO_EXTENSIONS,
        "SET" | "RESET" | "USE" => NO_SETTINGS,
        "CHECKPOINT" => NO_CHECKPOINT,
        "CALL" => "select from the function instead",
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" => NO_TRANSACTION,
        "PREPARE" | "EXECUTE" | "DEALLOCATE" => NO_PREPARED,
        _ => return None,
    })
}

pub(super) fn refused(what: &str, why: &str) -> String {
    format!("payload.sql: {what} is not allowed: {why}")
}
