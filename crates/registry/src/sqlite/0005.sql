-- Folders whose names moved. What Results up to a row say below the old name is read as if they said the new one.
CREATE TABLE relocation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    upto INTEGER NOT NULL,
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT;
